"""A process that imports by small batches: says each statement it has made, and goes on at a line of input.

Usage: importing.py zeroclaw|openai-agents URL PLACE
"""

import sys

from sqlalchemy import event

from session_store import SessionStore
from session_store.transfer import bulk_load
from session_store.transfer.sources.openai_agents import import_openai_agents
from session_store.transfer.sources.zeroclaw import import_zeroclaw

IMPORTS = {"zeroclaw": import_zeroclaw, "openai-agents": import_openai_agents}


def main(name: str, url: str, place: str) -> None:
    """Import, statement by statement."""
    bulk_load.LINE_BATCH_SIZE = 20
    with SessionStore(url) as store:
        store.health()

        def wait(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            print(statement.split(maxsplit=1)[0], flush=True)  # noqa: T201 - whoever started this reads it
            sys.stdin.readline()

        event.listen(store.engine, "after_cursor_execute", wait)
        IMPORTS[name](store, place)


main(*sys.argv[1:])
