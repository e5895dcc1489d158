"""SQL that differs between the two databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import JSON, BigInteger, Boolean, String, bindparam, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.sql.compiler import SQLCompiler
    from sqlalchemy.sql.type_api import TypeEngine

AUTOCOMMIT: Final = "AUTOCOMMIT"
OWN_TRANSACTION: Final = "session_store_own_transaction"
"""The execution option that marks a transaction as the store's own."""


def dialect_function(
    name: str, type_: TypeEngine[Any], *, sqlite: str, postgresql: str
) -> Callable[..., FunctionElement[Any]]:
    """Return a SQL function that each database spells differently.

    Args:
        name: The name in messages and labels.
        type_: The type of the result.
        sqlite: The SQL on SQLite, a format string with ``{0}``, ``{1}``, ... for the arguments.
        postgresql: The same on PostgreSQL.
    """
    function: type[FunctionElement[Any]] = type(
        name, (FunctionElement,), {"type": type_, "inherit_cache": True, "name": name}
    )

    def compile_with(template: str) -> Callable[..., str]:
        def compile_it(element: FunctionElement[Any], compiler: SQLCompiler, **kw: Any) -> str:
            return template.format(*(compiler.process(clause, **kw) for clause in element.clauses))

        return compile_it

    compiles(function, "sqlite")(compile_with(sqlite))
    compiles(function, "postgresql")(compile_with(postgresql))
    return function


as_json = dialect_function("as_json", JSON(), sqlite="{0}", postgresql="CAST({0} AS JSONB)")
"""A JSON text as a value of a JSON column."""

has_word = dialect_function(
    "has_word",
    Boolean(),
    sqlite="instr(lower({0}), {1}) > 0",
    postgresql='strpos(lower({0} COLLATE "C"), {1}) > 0',
)
"""Whether a text contains a lower-case text; only A to Z are folded."""

has_text = dialect_function("has_text", Boolean(), sqlite="instr({0}, {1}) > 0", postgresql="strpos({0}, {1}) > 0")
"""Whether a text contains another text."""

has_pattern = dialect_function("has_pattern", Boolean(), sqlite="{0} GLOB {1}", postgresql="{0} ~ {2}")
"""Whether a text matches a pattern: a GLOB pattern on SQLite, a regular expression on PostgreSQL."""

# json_each has different types for 1 and true, and also for 1 and 1.0, which are equal.
has_attributes = dialect_function(
    "has_attributes",
    Boolean(),
    sqlite="""NOT EXISTS (
        SELECT 1 FROM json_each({1}) AS want WHERE NOT EXISTS (
            SELECT 1 FROM json_each({0}) AS have
            WHERE have.key = want.key AND have.atom = want.atom
            AND replace(have.type, 'real', 'integer') = replace(want.type, 'real', 'integer')
        )
    )""",
    postgresql="{0} @> CAST({1} AS JSONB)",
)
"""Whether the top level of a JSON object contains all values of another object, which are scalars."""

byte_length = dialect_function(
    "byte_length", BigInteger(), sqlite="length(CAST({0} AS BLOB))", postgresql="octet_length({0})"
)
"""The length of a text in bytes of UTF-8."""

bytewise = dialect_function("bytewise", String(), sqlite="{0}", postgresql='{0} COLLATE "C"')
"""A text that sorts byte by byte, as it does on SQLite anyway."""


def needs_explicit_lock(db: Connection) -> bool:
    """Return whether a statement that waits for a row may then not see what the other transaction wrote.

    On PostgreSQL a statement sees what was committed when it began. In a transaction, a first statement therefore locks
    the session row. In autocommit such a lock would not last, and a unique index decides.
    """
    return db.dialect.name == "postgresql" and not is_autocommit(db)


def set_constraints_immediate(db: Connection) -> None:
    """Check deferred foreign keys of the application's tables at each statement instead of at the commit.

    Only in a transaction of the store: in one of the application it would also affect the application's statements.
    """
    if db.dialect.name == "postgresql" and db.get_execution_options().get(OWN_TRANSACTION):
        db.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")


def is_autocommit(db: Connection) -> bool:
    """Return whether each statement on this connection commits itself."""
    level = db.get_execution_options().get("isolation_level")
    if level is None and db.dialect.name == "postgresql" and not db.closed:
        # The engine may have been created in autocommit mode.
        return db.dialect.detect_autocommit_setting(db.connection.dbapi_connection)  # type: ignore[arg-type]
    return level == AUTOCOMMIT


_VERSION_TABLES: Final = {
    # Only plain tables: reading the columns of a virtual table would load its module.
    "sqlite": text("""
        SELECT made.name FROM sqlite_master AS made JOIN pragma_table_info(made.name) AS its
        WHERE made.type = 'table' AND made.sql LIKE 'CREATE TABLE%version_num%'
        GROUP BY made.name HAVING count(*) = 1 AND max(its.name) = 'version_num'
    """),
    "postgresql": text("""
        SELECT made.relname FROM pg_class AS made
        JOIN pg_namespace AS place ON place.oid = made.relnamespace
        JOIN pg_attribute AS its ON its.attrelid = made.oid
        WHERE made.relkind = 'r' AND made.relnatts = 1
        AND has_table_privilege(made.oid, 'SELECT')
        AND its.attname = 'version_num' AND its.atttypid IN ('varchar'::regtype, 'text'::regtype)
        AND CASE WHEN CAST(:place AS text) IS NULL THEN pg_table_is_visible(made.oid) ELSE place.nspname = :place END
    """).bindparams(bindparam("place", type_=String())),
}


def version_table_names(db: Connection, place: str | None) -> Sequence[str]:
    """Return the names of possible version tables of Alembic: those whose only column is ``version_num``."""
    values = {"place": place} if db.dialect.name == "postgresql" else {}
    return db.scalars(_VERSION_TABLES[db.dialect.name], values).all()


_OTHER_VERSION_TABLES: Final = text("""
    SELECT made.relname FROM pg_class AS made JOIN pg_attribute AS its ON its.attrelid = made.oid
    WHERE made.relkind = 'r' AND made.relnatts = 1 AND its.attname = 'version_num' AND made.relname <> :ours LIMIT 1
""")


def has_other_version_table(db: Connection, ours: str) -> bool:
    """Return whether a version table of another name exists; on PostgreSQL, in any schema."""
    if db.dialect.name == "postgresql":
        return bool(db.scalars(_OTHER_VERSION_TABLES, {"ours": ours}).all())
    return any(name != ours for name in version_table_names(db, None))
