"""The context that all checks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from session_store.maintenance.doctor.findings import PROGRAM, shell_command

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The connection and the arguments of `doctor`, passed to each check."""

    db: Connection
    schema: str | None
    """The PostgreSQL schema of the tables; None: the search path."""
    now: datetime
    stuck_secs: float
    quick: bool
    """Whether to skip the checks that read every row."""
    is_external: bool
    """Whether the connection belongs to the application, with its settings."""

    @property
    def on_sqlite(self) -> bool:
        """Whether the database is SQLite."""
        return self.db.dialect.name == "sqlite"

    def command(self, *words: str) -> str:
        """Return a session-store command for this schema; the environment names the database."""
        schema = () if self.schema is None else ("--schema", self.schema)
        return shell_command(PROGRAM, *words, *schema)

    def psql(self, *statements: str) -> str:
        """Return a psql command; the operator adds the user and the password."""
        url = self.db.engine.url
        host = url.host or ",".join(url.normalized_query.get("host", ()))
        options = {"--host": host, "--port": url.port, "--dbname": url.database}
        known = (str(word) for name, value in options.items() if value for word in (name, value))
        return shell_command("psql", *known, *(word for sql in statements for word in ("-c", sql)))
