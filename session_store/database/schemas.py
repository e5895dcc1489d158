"""The PostgreSQL schema of our tables: one that the application chose, or the first on the search path."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from sqlalchemy import Text, bindparam, func, inspect, select, text, true
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from session_store.database.functions import is_autocommit
from session_store.interface.errors import InvalidQuery, StoreError, describe
from session_store.models.validation import schema_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine, Executable

_SET_SEARCH_PATH: Final = select(func.set_config("search_path", bindparam("path", type_=Text()), true()))


def checked_schema(schema: str, dialect: str) -> str:
    """Return the name of a schema if it is valid in this dialect.

    Raises:
        InvalidQuery: The name is invalid, or the database has no schemas.
    """
    if dialect != "postgresql":
        problem = f"schema={describe(schema)}: only PostgreSQL has schemas, not {dialect}"
        raise InvalidQuery(problem)
    return schema_name(schema)


def in_schema(engine: Engine, schema: str | None) -> Engine:
    """Return an engine whose statements use our tables in a PostgreSQL schema; None: on the search path."""
    if schema is None:
        return engine
    return engine.execution_options(schema_translate_map={None: checked_schema(schema, engine.dialect.name)})


def schema_of(connection: Connection) -> str | None:
    """Return the schema of our tables on this connection; None: the search path."""
    names: dict[str | None, str | None] = connection.get_execution_options().get("schema_translate_map") or {}
    return names.get(None)


@contextmanager
def schema_translate(connection: Connection, schema: str | None) -> Iterator[None]:
    """Let statements on an application's connection use our tables in a schema, inside the block."""
    if schema is None:
        yield
    else:
        with _with_map(connection, {None: checked_schema(schema, connection.dialect.name)}):
            yield


def create_schema(connection: Connection, schema: str | None) -> None:
    """Create a PostgreSQL schema unless it exists."""
    if schema is not None:
        checked_schema(schema, connection.dialect.name)
        # Even IF NOT EXISTS needs the privilege to create a schema, which the application may lack.
        if not inspect(connection).has_schema(schema):
            connection.execute(CreateSchema(schema))


@contextmanager
def use_schema(connection: Connection, schema: str | None) -> Iterator[None]:
    """Set the search path of a transaction to one schema inside the block, and restore it for the application.

    Raises:
        StoreError: There is no transaction to which the search path could be limited.
    """
    if schema is None:
        yield
        return
    only = quote(checked_schema(schema, connection.dialect.name))
    if is_autocommit(connection):
        problem = "schema= needs a transaction here, but this connection is in autocommit mode"
        raise StoreError(problem)
    before = connection.scalar(select(func.current_setting("search_path")))
    connection.execute(_SET_SEARCH_PATH, {"path": only})
    try:
        # SQL text in a revision is not translated, so nothing else may be translated.
        with _with_map(connection, None):
            yield
    finally:
        if not connection.invalidated:
            # In a failed transaction this fails, too; the rollback restores the path.
            with suppress(DBAPIError):
                connection.execute(_SET_SEARCH_PATH, {"path": before})


def schema_statements(dialect: str, schema: str | None) -> Iterator[Executable]:
    """Yield the statements at the start of a script that creates everything in a schema."""
    if schema is not None:
        yield CreateSchema(checked_schema(schema, dialect), if_not_exists=True)
        # A colon would start a parameter.
        yield text(f"SET LOCAL search_path TO {quote(schema)}".replace(":", r"\:"))


@contextmanager
def _with_map(connection: Connection, names: dict[str | None, str] | None) -> Iterator[None]:
    before = connection.get_execution_options()
    connection.execution_options(schema_translate_map=names)
    try:
        yield
    finally:
        # SQLAlchemy cannot unset an option, and None would override the option of an application's statement.
        connection._execution_options = before  # noqa: SLF001


def qualified_name(name: str, schema: str | None) -> str:
    """Return a quoted name, qualified with the schema if there is one, for SQL text on PostgreSQL."""
    return quote(name) if schema is None else f"{quote(schema)}.{quote(name)}"


def quote(name: str) -> str:
    """Return a quoted name for SQL text on PostgreSQL."""
    # Not by the dialect, which doubles percent signs for drivers that use them for parameters.
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
