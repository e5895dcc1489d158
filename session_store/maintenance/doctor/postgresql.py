"""Check a PostgreSQL server: durability settings, transactions that block vacuum, and dead rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Text, bindparam, text

from session_store.database import schemas
from session_store.interface.errors import truncate
from session_store.maintenance.doctor.findings import Finding, Severity
from session_store.maintenance.formatting import format_duration, format_size, pluralize
from session_store.models.models import METADATA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from session_store.maintenance.doctor.context import CheckContext

LONG_SECS: Final = 600.0
"""A transaction that is open for longer is forgotten, or is an export that blocks vacuum."""

MAX_DEAD_ROWS: Final = 10_000
MAX_DEAD_SHARE: Final = 0.2

_SETTINGS: Final = {
    "fsync": "a crash of the machine may corrupt every table",
    "full_page_writes": "a crash of the machine may corrupt every table",
    "synchronous_commit": "a crash loses the last acknowledged commits",
    "autovacuum": "dead rows accumulate",
}
_SELECT_SETTINGS: Final = text("""
    SELECT name, setting, source FROM pg_settings
    WHERE name IN ('autovacuum', 'fsync', 'full_page_writes', 'synchronous_commit') ORDER BY name
""")
_SELECT_SERVER: Final = text("""
    SELECT current_setting('server_encoding') AS encoding, current_setting('server_version') AS version,
        pg_is_in_recovery() AS is_standby,
        has_function_privilege('pg_ls_waldir()', 'execute') AND NOT pg_is_in_recovery() AS may_see_wal
""")
_SELECT_NAMES: Final = text("SELECT quote_ident(current_database()) AS base, quote_ident(session_user) AS role")
_SELECT_WAL: Final = text("SELECT CAST(coalesce(sum(size), 0) AS bigint) FROM pg_ls_waldir()")

_SELECT_TRANSACTIONS: Final = text("""
    SELECT pid, state LIKE 'idle in transaction%' AS is_idle,
        backend_xmin IS NOT NULL OR backend_xid IS NOT NULL AS holds,
        CAST(extract(epoch FROM clock_timestamp() - xact_start) AS double precision) AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
        AND backend_type IN ('client backend', 'walsender')
    ORDER BY xact_start
""")
_SELECT_HIDDEN: Final = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query = '<insufficient privilege>'
""")
_SELECT_PREPARED: Final = text("""
    SELECT gid, CAST(extract(epoch FROM clock_timestamp() - prepared) AS double precision) AS seconds
    FROM pg_prepared_xacts WHERE database = current_database() ORDER BY prepared
""")
_SELECT_SLOTS: Final = text("""
    SELECT slot_name, age(xmin) AS transactions FROM pg_replication_slots
    WHERE NOT active AND xmin IS NOT NULL ORDER BY age(xmin) DESC
""")
_SELECT_DEAD_ROWS: Final = text("""
    SELECT n_dead_tup, n_live_tup,
        coalesce(greatest(last_vacuum, last_autovacuum) > clock_timestamp() - interval '5 minutes', false)
    FROM pg_stat_user_tables WHERE relid = to_regclass(:table)
""").bindparams(bindparam("table", type_=Text()))


class _Kind(NamedTuple):
    check: str
    what: str
    meaning: str


_HOLDS: Final = _Kind("transactions.snapshot", "holds", "vacuum cannot remove rows deleted since")
_IDLE: Final = _Kind("transactions.idle", "is idle in", "it holds its locks and its connection")
_LONG: Final = _Kind("transactions.long", "is running", "it may hold locks that others wait for")


def check_server(context: CheckContext) -> Iterator[Finding]:
    """Check the settings of a PostgreSQL server."""
    if context.on_sqlite:
        return
    server = context.db.execute(_SELECT_SERVER).one()
    kind = "a read-only standby" if server.is_standby else "the primary"
    yield Finding("server.version", Severity.INFO, f"PostgreSQL {server.version}, {kind}", server.version)
    if server.encoding == "UTF8":
        yield Finding("server.encoding", Severity.INFO, "the encoding is UTF8", server.encoding)
    else:
        message = f"the encoding is {server.encoding}, not UTF8: some text cannot be stored; create a database in UTF8"
        yield Finding("server.encoding", Severity.WARNING, message, server.encoding)
    for name, setting, source in context.db.execute(_SELECT_SETTINGS):
        if setting == "off":
            message = f"{name} is off ({source}): {_SETTINGS[name]}"
            yield Finding(
                f"server.{name}", Severity.WARNING, message, setting, None, _enable_command(context, name, source)
            )
    if server.may_see_wal:
        size = context.db.execute(_SELECT_WAL).scalar_one()
        yield Finding("server.wal", Severity.INFO, f"the write-ahead log takes {format_size(size)}", size, "bytes")


def _enable_command(context: CheckContext, name: str, source: str) -> str | None:
    if source in {"database", "user", "database user"}:
        of_whom = context.db.execute(_SELECT_NAMES).one()
        scopes = {
            "database": f"DATABASE {of_whom.base}",
            "user": f"ROLE {of_whom.role}",
            "database user": f"ROLE {of_whom.role} IN DATABASE {of_whom.base}",
        }
        return context.psql(f"ALTER {scopes[source]} RESET {name}")
    if source in {"session", "client"}:
        return None  # set by the client when it connected
    return context.psql(f"ALTER SYSTEM SET {name} = on", "SELECT pg_reload_conf()")


def check_transactions(context: CheckContext) -> Iterator[Finding]:
    """Look for transactions that were left open, which keep PostgreSQL from removing deleted rows."""
    if context.on_sqlite:
        return
    longest = min(context.stuck_secs, LONG_SECS)
    of_kind: dict[_Kind, list[Any]] = {}
    for row in context.db.execute(_SELECT_TRANSACTIONS):
        if row.seconds > longest:
            of_kind.setdefault(_HOLDS if row.holds else _IDLE if row.is_idle else _LONG, []).append(row)
    for (check, what, meaning), rows in of_kind.items():
        oldest = rows[0]
        others = f", and {pluralize(len(rows) - 1, 'other')}" if len(rows) > 1 else ""
        doing = ", idle" if oldest.is_idle and what != "is idle in" else ""
        message = (
            f"process {oldest.pid}{others} {what} a transaction that began {format_duration(oldest.seconds)} ago"
            f"{doing}: {meaning}"
        )
        command = context.psql(*(f"SELECT pg_terminate_backend({row.pid})" for row in rows))
        yield Finding(check, Severity.WARNING, message, round(oldest.seconds, 3), "seconds", command)
    hidden = context.db.execute(_SELECT_HIDDEN).scalar_one()
    if hidden:
        message = f"{pluralize(hidden, 'connection')} of other roles are hidden: a role in pg_monitor can see them"
        yield Finding("transactions.hidden", Severity.INFO, message, hidden, "connections")
    yield from _prepared(context, longest)
    yield from _slots(context)


def _prepared(context: CheckContext, longest: float) -> Iterator[Finding]:
    old = [row for row in context.db.execute(_SELECT_PREPARED) if row.seconds > longest]
    if old:
        message = (
            f"{pluralize(len(old), 'prepared transaction')}, {truncate(old[0].gid)} since "
            f"{format_duration(old[0].seconds)}: its locks stay, and vacuum cannot remove rows deleted since"
        )
        command = context.psql(*(f"ROLLBACK PREPARED {_literal(row.gid)}" for row in old))
        yield Finding("transactions.prepared", Severity.WARNING, message, len(old), "transactions", command)


def _slots(context: CheckContext) -> Iterator[Finding]:
    slots = context.db.execute(_SELECT_SLOTS).all()
    if slots:
        message = (
            f"{pluralize(len(slots), 'unused replication slot')}, {truncate(slots[0].slot_name)} for "
            f"{pluralize(slots[0].transactions, 'transaction')}: vacuum cannot remove rows deleted since"
        )
        command = context.psql(*(f"SELECT pg_drop_replication_slot({_literal(row.slot_name)})" for row in slots))
        yield Finding("transactions.slots", Severity.WARNING, message, len(slots), "slots", command)


def check_dead_rows(context: CheckContext) -> Iterator[Finding]:
    """Count dead rows, which still take disk space."""
    if context.on_sqlite:
        return
    for table in METADATA.tables:
        name = schemas.qualified_name(table, context.schema)
        row = context.db.execute(_SELECT_DEAD_ROWS, {"table": name}).one_or_none()
        if row is None:
            continue
        dead, live, is_recent = row
        message = f"{table} has {pluralize(dead, 'dead row')} and {pluralize(live, 'live row')}"
        # A table that was just vacuumed is busy, or an old snapshot blocks vacuum, which is another finding.
        if is_recent or dead < MAX_DEAD_ROWS or dead < MAX_DEAD_SHARE * live:
            yield Finding("server.dead_rows", Severity.INFO, message, dead, "rows")
        else:
            message += ": autovacuum is behind, and reads scan all of them"
            yield Finding("server.dead_rows", Severity.WARNING, message, dead, "rows", context.command("vacuum"))


def _literal(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"
