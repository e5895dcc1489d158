"""Where the two databases differ in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import JSON, BigInteger, Boolean, String, bindparam, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection
    from sqlalchemy.sql.compiler import SQLCompiler

AUTOCOMMIT: Final = "AUTOCOMMIT"
OWN_TRANSACTION: Final = "session_store_own_transaction"
"""The execution option that marks a transaction as the store's own."""


class as_json(FunctionElement[Any]):  # noqa: N801 - reads as the SQL function it stands for
    """A JSON text as the value a column of JSON takes."""

    type = JSON()
    inherit_cache = True
    name = "as_json"


@compiles(as_json, "sqlite")
def _(element: as_json, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(as_json, "postgresql")
def _(element: as_json, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **kw)} AS JSONB)"


class has_word(FunctionElement[bool]):  # noqa: N801
    """Whether a text has another one in it, which is in lower case, A to Z being the same as a to z."""

    type = Boolean()
    inherit_cache = True
    name = "has_word"


@compiles(has_word, "sqlite")
def _(element: has_word, compiler: SQLCompiler, **kw: Any) -> str:
    content, word = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"instr(lower({content}), {word}) > 0"


@compiles(has_word, "postgresql")
def _(element: has_word, compiler: SQLCompiler, **kw: Any) -> str:
    content, word = (compiler.process(clause, **kw) for clause in element.clauses)
    return f'strpos(lower({content} COLLATE "C"), {word}) > 0'


class has_text(FunctionElement[bool]):  # noqa: N801
    """Whether a text has another one in it."""

    type = Boolean()
    inherit_cache = True
    name = "has_text"


@compiles(has_text, "sqlite")
def _(element: has_text, compiler: SQLCompiler, **kw: Any) -> str:
    content, text = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"instr({content}, {text}) > 0"


@compiles(has_text, "postgresql")
def _(element: has_text, compiler: SQLCompiler, **kw: Any) -> str:
    content, text = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"strpos({content}, {text}) > 0"


class has_pattern(FunctionElement[bool]):  # noqa: N801
    """Whether a text has a pattern in it: the second one is SQLite's GLOB, the third a regular expression."""

    type = Boolean()
    inherit_cache = True
    name = "has_pattern"


@compiles(has_pattern, "sqlite")
def _(element: has_pattern, compiler: SQLCompiler, **kw: Any) -> str:
    content, glob, _ = element.clauses
    return f"{compiler.process(content, **kw)} GLOB {compiler.process(glob, **kw)}"


@compiles(has_pattern, "postgresql")
def _(element: has_pattern, compiler: SQLCompiler, **kw: Any) -> str:
    content, _, regular = element.clauses
    return f"{compiler.process(content, **kw)} ~ {compiler.process(regular, **kw)}"


class has_attributes(FunctionElement[bool]):  # noqa: N801
    """Whether a JSON object has all the values of another one, of scalars, at its top level."""

    type = Boolean()
    inherit_cache = True
    name = "has_attributes"


@compiles(has_attributes, "sqlite")
def _(element: has_attributes, compiler: SQLCompiler, **kw: Any) -> str:
    have, want = (compiler.process(clause, **kw) for clause in element.clauses)
    # json_each tells 1 from true by its type, and gives 1 and 1.0 different ones though they are equal.
    return f"""NOT EXISTS (
        SELECT 1 FROM json_each({want}) AS want WHERE NOT EXISTS (
            SELECT 1 FROM json_each({have}) AS have
            WHERE have.key = want.key AND have.atom = want.atom
            AND replace(have.type, 'real', 'integer') = replace(want.type, 'real', 'integer')
        )
    )"""  # noqa: S608 - compiled SQL, not text somebody typed


@compiles(has_attributes, "postgresql")
def _(element: has_attributes, compiler: SQLCompiler, **kw: Any) -> str:
    have, want = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{have} @> CAST({want} AS JSONB)"


class byte_length(FunctionElement[int]):  # noqa: N801
    """How many bytes of UTF-8 a text has."""

    type = BigInteger()
    inherit_cache = True
    name = "byte_length"


@compiles(byte_length, "sqlite")
def _(element: byte_length, compiler: SQLCompiler, **kw: Any) -> str:
    return f"length(CAST({compiler.process(element.clauses, **kw)} AS BLOB))"


@compiles(byte_length, "postgresql")
def _(element: byte_length, compiler: SQLCompiler, **kw: Any) -> str:
    return f"octet_length({compiler.process(element.clauses, **kw)})"


class bytewise(FunctionElement[str]):  # noqa: N801
    """A text, to be ordered byte by byte, as SQLite does anyway."""

    type = String()
    inherit_cache = True
    name = "bytewise"


@compiles(bytewise, "sqlite")
def _(element: bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(bytewise, "postgresql")
def _(element: bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    return f'{compiler.process(element.clauses, **kw)} COLLATE "C"'


def needs_explicit_lock(db: Connection) -> bool:
    """Whether a statement here may wait for a row and then still not see what made it wait.

    On PostgreSQL it sees what was committed when it began, so within a transaction the head is locked by a
    statement of its own, first. Outside of one there is no such lock, and a unique index decides.
    """
    return db.dialect.name == "postgresql" and not is_autocommit(db)


def set_constraints_immediate(db: Connection) -> None:
    """Let a reference of a host's table that waits for the commit be checked by each statement instead.

    Only in a transaction of the store's own: in a host's it would hold for the host's statements too.
    """
    if db.dialect.name == "postgresql" and db.get_execution_options().get(OWN_TRANSACTION):
        db.exec_driver_sql("SET CONSTRAINTS ALL IMMEDIATE")


def is_autocommit(db: Connection) -> bool:
    """Whether each statement on this connection is a transaction of its own."""
    level = db.get_execution_options().get("isolation_level")
    if level is None and db.dialect.name == "postgresql" and not db.closed:
        # The engine may have been made so.
        return db.dialect.detect_autocommit_setting(db.connection.dbapi_connection)  # type: ignore[arg-type]
    return level == AUTOCOMMIT


_VERSION_TABLES: Final = {
    # Written as a plain table: to look at the columns of a virtual one its module has to be loaded.
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
    """Return the names of the tables in which Alembic may keep revisions: of one column, with the name it gives it."""
    values = {"place": place} if db.dialect.name == "postgresql" else {}
    return db.scalars(_VERSION_TABLES[db.dialect.name], values).all()


_OTHER_VERSION_TABLES: Final = text("""
    SELECT made.relname FROM pg_class AS made JOIN pg_attribute AS its ON its.attrelid = made.oid
    WHERE made.relkind = 'r' AND made.relnatts = 1 AND its.attname = 'version_num' AND made.relname <> :ours LIMIT 1
""")


def has_other_version_table(db: Connection, ours: str) -> bool:
    """Whether Alembic may keep revisions in a table of another name; on PostgreSQL in whatever schema."""
    if db.dialect.name == "postgresql":
        return bool(db.scalars(_OTHER_VERSION_TABLES, {"ours": ours}).all())
    return any(name != ours for name in version_table_names(db, None))
