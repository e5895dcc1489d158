"""``python -m session_store.migrations``: create and upgrade the tables, without the extra ``cli``."""

# ruff: noqa: T201 - what a command says it prints

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Final

from session_store import migrations
from session_store.database import engines, revisions
from session_store.interface.errors import InvalidQuery, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DATABASE_URL: Final = "SESSION_STORE_DATABASE_URL"
_SCHEMA: Final = "SESSION_STORE_SCHEMA"


def upgrade(args: argparse.Namespace) -> int:
    """Create the tables, or upgrade them to the newest revision."""
    migrations.upgrade(args.db, schema=args.schema)
    return current(args)


def current(args: argparse.Namespace) -> int:
    """Print the revision of the tables."""
    revision = migrations.current(args.db, schema=args.schema)
    print(f"{revision or 'no revision'}{' (head)' if revision == revisions.HEAD else ''}")
    return 0


def check(args: argparse.Namespace) -> int:
    """Print the differences from the tables that this package needs."""
    differences = migrations.check(args.db, schema=args.schema)
    print("\n".join(differences) or "nothing differs")
    return 1 if differences else 0


def sql(args: argparse.Namespace) -> int:
    """Print the SQL script that creates the tables in an empty database."""
    print(migrations.sql(args.dialect, schema=args.schema), end="")
    return 0


def paths(_args: argparse.Namespace) -> int:
    """Print the location of the revisions: for version_locations in alembic.ini, and the path on this machine."""
    print(migrations.LOCATION)
    print(migrations.HERE / "versions")
    return 0


_DATABASE_COMMANDS: Final = (upgrade, current, check)
_COMMANDS: Final[tuple[Callable[[argparse.Namespace], int], ...]] = (*_DATABASE_COMMANDS, sql, paths)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit code: 0 done; 1 not done, or the check found a difference. Invalid arguments end the program
        with 2.
    """
    parser = argparse.ArgumentParser("python -m session_store.migrations", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run in _COMMANDS:
        command = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        if run in _DATABASE_COMMANDS:
            # An empty variable was probably meant to be set.
            url = os.environ.get(_DATABASE_URL) or None
            command.add_argument(
                "--db",
                metavar="URL",
                default=url,
                required=url is None,
                help=f"a URL or the path of a SQLite file; default: {_DATABASE_URL}",
            )
        if run is sql:
            command.add_argument("--dialect", choices=engines.DIALECTS, required=True)
        if run is not paths:
            command.add_argument(
                "--schema",
                metavar="NAME",
                default=os.environ.get(_SCHEMA) or None,
                help=f"the PostgreSQL schema of the tables; default: {_SCHEMA}",
            )

    asked = parser.parse_args(arguments)
    try:
        return int(asked.run(asked))
    except InvalidQuery as error:
        parser.error(str(error))
    except (StoreError, ImportError) as error:  # a driver that is not installed
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
