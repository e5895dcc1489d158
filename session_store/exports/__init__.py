"""What is in a store, into files that others read, and that `session_store.imports` brings back."""

from session_store.exports.jsonl import export_jsonl
from session_store.exports.parquet import export_parquet
from session_store.exports.resuming import resume_csv, resume_jsonl
from session_store.exports.rows import export_csv
from session_store.exports.walking import Conditions, Exported, Which

__all__ = [
    "Conditions",
    "Exported",
    "Which",
    "export_csv",
    "export_jsonl",
    "export_parquet",
    "resume_csv",
    "resume_jsonl",
]
