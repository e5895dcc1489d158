"""Other libraries that keep conversations, each by its documented calls, against `benchmarks.contestants`.

A library is imported when its opener is entered: some take seconds. `requirements.txt` beside this file says which
versions were used. Every SQLite file is in WAL mode with ``synchronous=FULL``: some libraries switch to WAL
themselves, for the others it is done before; FULL is SQLite's own default and none of them changes it.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from sqlalchemy import URL

    from benchmarks.contestants import Contestant

    Opener = Callable[[URL], AbstractContextManager[Contestant]]


def _opener(module: str, name: str = "opened") -> Opener:
    @contextmanager
    def opened(url: URL) -> Iterator[Contestant]:
        with getattr(import_module(f"{__name__}.{module}"), name)(url) as contestant:
            yield contestant

    return opened


PEERS: Final[Mapping[str, Opener]] = {
    "OpenAI Agents SQLiteSession": _opener("openai_agents", "opened_on_sqlite3"),
    "OpenAI Agents SQLAlchemySession": _opener("openai_agents"),
    "Google ADK": _opener("google_adk"),
    "LangChain": _opener("langchain"),
    "LlamaIndex": _opener("llama_index"),
    "Agno": _opener("agno"),
    "LangGraph": _opener("langgraph"),
}
"""Openers by the peer's name: each takes the URL of an empty database and makes the peer's tables there."""

PACKAGES: Final = (
    "openai-agents",
    "google-adk",
    "langchain-community",
    "llama-index-core",
    "agno",
    "langgraph",
    "langgraph-checkpoint-sqlite",
    "langgraph-checkpoint-postgres",
)
"""What they are called in the registry."""

SQLITE_ONLY: Final = frozenset({"OpenAI Agents SQLiteSession"})
"""The peers that cannot be opened on PostgreSQL."""


def peers_on(url: URL) -> Mapping[str, Opener]:
    """Return the openers of the peers that know this kind of database."""
    on_sqlite = url.get_backend_name() == "sqlite"
    return {name: opener for name, opener in PEERS.items() if on_sqlite or name not in SQLITE_ONLY}
