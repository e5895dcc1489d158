"""The command that makes a page to look at: report."""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from session_store.analytics import Price
from session_store.cli import display, records
from session_store.cli.options import DEFAULT_DATABASE, Database, Json, Owner, Schema, checked, time, waiting
from session_store.report import page


def priced(text: str) -> tuple[str, Price]:
    """Return the name of a model and what a million tokens cost that it takes, and that it gives."""
    model, sign, said = text.rpartition("=")
    try:
        taken, given = map(float, said.split("/"))
    except ValueError:
        sign = ""
    if not sign:
        problem = f"{text!r} is not MODEL=INPUT/OUTPUT, such as small=0.15/0.60"
        raise typer.BadParameter(problem)
    return model, Price(taken, given)


Prices = Annotated[
    list[Any] | None,
    typer.Option(
        "--price",
        metavar="MODEL=INPUT/OUTPUT",
        parser=priced,
        help="What a million tokens of a model cost; may be given several times.",
    ),
]
Since = Annotated[datetime | None, typer.Option(metavar="TIME", parser=time, help="From when on: ISO 8601, or 30d.")]
Until = Annotated[datetime | None, typer.Option(metavar="TIME", parser=time, help="Until when: ISO 8601, or 1d.")]


def report(
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to make.")],
    since: Since = None,
    until: Until = None,
    tz: Annotated[str, typer.Option(metavar="ZONE", help="The time zone of its days, such as Europe/Lisbon.")] = "UTC",
    owner: Owner = None,
    title: Annotated[str, typer.Option(help="What stands on top.")] = "Conversations",
    price: Prices = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Make a page of charts for a browser: activity, lengths, turns, errors, response times, tools, tokens, storage.

    It is one file without anything outside of it. It has the keys, names and owners of the busiest sessions.
    """
    if out.exists() and not force:
        problem = f"{str(out)!r} is there: --force replaces it"
        raise typer.BadParameter(problem, param_hint="--out")
    with waiting("making the page"):
        html = page(
            checked(db),
            since=since,
            until=until,
            tz=tz,
            title=title,
            schema=schema,
            owner=owner,
            prices=dict(price) if price else None,
        )
    written = out.write_bytes(html.encode())
    if json:
        records.write({"file": str(out.resolve()), "bytes": written})
    else:
        display.say(f"{out}: {display.size(written)}")
