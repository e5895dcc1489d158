"""What the checks of one look at a database share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from session_store.maintenance.doctor.findings import PROGRAM, shell_command

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True)
class CheckContext:
    """What every check is given: a connection to read from, and what was asked."""

    db: Connection
    schema: str | None
    """The PostgreSQL schema of the tables; None: where the search path finds them."""
    now: datetime
    stuck_secs: float
    quick: bool
    """Whether to leave out what reads every row."""
    is_external: bool
    """Whether the connection is one as the host has them, so that its settings are the host's too."""

    @property
    def on_sqlite(self) -> bool:
        """Which of the two databases it is."""
        return self.db.dialect.name == "sqlite"

    def command(self, *words: str) -> str:
        """Return a command of ours, for the schema that was asked for; the environment names the database."""
        schema = () if self.schema is None else ("--schema", self.schema)
        return shell_command(PROGRAM, *words, *schema)

    def psql(self, *statements: str) -> str:
        """Return a command for PostgreSQL's own client; as whom, and with which password, is the operator's."""
        url = self.db.engine.url
        hosts = url.query.get("host", ())
        # Several are tried one after the other, and which of them answered is not in the URL: the operator names it.
        host = url.host or (hosts if isinstance(hosts, str) else None)
        options = {"--host": host, "--port": url.port, "--dbname": url.database}
        known = (str(word) for name, value in options.items() if value for word in (name, value))
        return shell_command("psql", *known, *(word for sql in statements for word in ("-c", sql)))
