"""The report command."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from session_store.analytics import Price
from session_store.cli import json_output, terminal_output
from session_store.cli.options import (
    DEFAULT_DATABASE,
    PIPE,
    Database,
    Json,
    Owner,
    Schema,
    require_current_schema,
    spinner,
    time,
)
from session_store.maintenance import formatting
from session_store.maintenance.backups import atomic_write
from session_store.maintenance.report import page


def price(text: str) -> tuple[str, Price]:
    """Parse MODEL=INPUT/OUTPUT, the prices of a million input and output tokens."""
    model, sign, prices = text.rpartition("=")
    try:
        price_of_input, price_of_output = map(float, prices.split("/") if sign else ())
    except ValueError:
        problem = f"{text!r} is not MODEL=INPUT/OUTPUT, such as small=0.15/0.60"
        raise typer.BadParameter(problem) from None
    return model, Price(price_of_input, price_of_output)


Prices = Annotated[
    list[Any] | None,
    typer.Option(
        "--price",
        metavar="MODEL=INPUT/OUTPUT",
        parser=price,
        help="The price of a million tokens of a model; may be given several times.",
    ),
]
Since = Annotated[datetime | None, typer.Option(metavar="TIME", parser=time, help="Start of the range, such as 30d.")]
Until = Annotated[datetime | None, typer.Option(metavar="TIME", parser=time, help="End of the range, such as 1d.")]


def report(
    *,
    out: Annotated[str, typer.Option(metavar="FILE", help="The file to write; - is the standard output.")],
    since: Since = None,
    until: Until = None,
    tz: Annotated[str, typer.Option(metavar="ZONE", help="The time zone of the days, such as Europe/Lisbon.")] = "UTC",
    owner: Owner = None,
    title: Annotated[str, typer.Option(help="The heading.")] = "Conversations",
    price: Prices = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Json = False,
    db: Database = DEFAULT_DATABASE,
    schema: Schema = None,
) -> None:
    """Create an HTML page of charts: activity, lengths, turns, errors, response times, tools, tokens, storage.

    The page is a single file that loads nothing. It contains the keys, names and owners of the busiest sessions.
    """
    place = None if out == PIPE else Path(out)
    if place is not None and place.exists() and not force:
        problem = f"{out!r} exists: --force replaces it"
        raise typer.BadParameter(problem, param_hint="--out")
    with spinner("making the page"):
        html = page(
            require_current_schema(db),
            since=since,
            until=until,
            tz=tz,
            title=title,
            schema=schema,
            owner=owner,
            prices=dict(price) if price else None,
        )
    size = _write(html.encode(), place)
    parsed = terminal_output.stderr_console() if place is None else terminal_output.stdout_console()
    if json:
        json_output.write({"file": None if place is None else str(place.resolve()), "bytes": size}, file=parsed.file)
    elif place is not None:
        terminal_output.print_result(f"{out}: {formatting.format_size(size)}")


def _write(html: bytes, place: Path | None) -> int:
    """Write the page, replacing a file only when the new one is complete; return its size."""
    if place is None:
        sys.stdout.buffer.write(html)
    elif place.exists() and not place.is_file():
        # A device is written to and not replaced.
        place.write_bytes(html)
    else:
        with atomic_write(place) as unfinished:
            Path(unfinished).write_bytes(html)
    return len(html)
