"""What was kept elsewhere, into a store."""

from session_store.imports.jsonl import import_jsonl
from session_store.imports.openai_agents import import_openai_agents
from session_store.imports.reports import BrokenLine, Imported, Mended, SkippedSession
from session_store.imports.zeroclaw import import_zeroclaw

__all__ = [
    "BrokenLine",
    "Imported",
    "Mended",
    "SkippedSession",
    "import_jsonl",
    "import_openai_agents",
    "import_zeroclaw",
]
