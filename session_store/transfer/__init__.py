"""Export a store to JSON Lines, CSV and Parquet files, and import sessions from exports and from other programs."""

from session_store.transfer.csv_export import export_csv
from session_store.transfer.jsonl_export import export_jsonl
from session_store.transfer.jsonl_import import import_jsonl
from session_store.transfer.parquet_export import export_parquet
from session_store.transfer.results import Adjusted, BrokenLine, ImportResult, SkippedSession
from session_store.transfer.resuming import resume_jsonl
from session_store.transfer.session_reader import ExportConditions, ExportFilter, ExportResult
from session_store.transfer.sources.openai_agents import import_openai_agents
from session_store.transfer.sources.zeroclaw import import_zeroclaw

__all__ = [
    "Adjusted",
    "BrokenLine",
    "ExportConditions",
    "ExportFilter",
    "ExportResult",
    "ImportResult",
    "SkippedSession",
    "export_csv",
    "export_jsonl",
    "export_parquet",
    "import_jsonl",
    "import_openai_agents",
    "import_zeroclaw",
    "resume_jsonl",
]
