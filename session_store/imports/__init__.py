"""What was kept elsewhere, into a store."""

from session_store.imports.jsonl import import_jsonl
from session_store.imports.reports import BrokenLine, Imported, SkippedSession

__all__ = ["BrokenLine", "Imported", "SkippedSession", "import_jsonl"]
