"""Where our tables are: in a PostgreSQL schema of the host's choice, or where the server's search path finds them."""

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
    """Return the name of a schema if a database of this dialect can have one of that name.

    Raises:
        InvalidQuery: It cannot, or has no schemas.
    """
    if dialect != "postgresql":
        problem = f"schema={describe(schema)}: only PostgreSQL has schemas, this database is {dialect}"
        raise InvalidQuery(problem)
    return schema_name(schema)


def in_schema(engine: Engine, schema: str | None) -> Engine:
    """Return an engine whose statements find our tables in a PostgreSQL schema; None: where the server looks."""
    if schema is None:
        return engine
    return engine.execution_options(schema_translate_map={None: checked_schema(schema, engine.dialect.name)})


def schema_of(connection: Connection) -> str | None:
    """Return the schema in which statements on this connection look for our tables; None: any that is visible."""
    names: dict[str | None, str | None] = connection.get_execution_options().get("schema_translate_map") or {}
    return names.get(None)


@contextmanager
def schema_translate(connection: Connection, schema: str | None) -> Iterator[None]:
    """Let statements on a connection of the host's find our tables in a schema, as long as this lasts."""
    if schema is None:
        yield
    else:
        with _with_map(connection, {None: checked_schema(schema, connection.dialect.name)}):
            yield


def create_schema(connection: Connection, schema: str | None) -> None:
    """Make a PostgreSQL schema, unless it is there already."""
    if schema is not None:
        checked_schema(schema, connection.dialect.name)
        # Even with IF NOT EXISTS this needs the right to make one, which a host may not have.
        if not inspect(connection).has_schema(schema):
            connection.execute(CreateSchema(schema))


@contextmanager
def use_schema(connection: Connection, schema: str | None) -> Iterator[None]:
    """Let what a transaction makes and finds be in one schema, as long as this lasts: what follows is the host's.

    Raises:
        StoreError: There is no transaction that the search path could be limited to.
    """
    if schema is None:
        yield
        return
    only = quote(checked_schema(schema, connection.dialect.name))
    if is_autocommit(connection):
        problem = "a schema needs a transaction to be looked into, and on this connection each statement commits itself"
        raise StoreError(problem)
    before = connection.scalar(select(func.current_setting("search_path")))
    connection.execute(_SET_SEARCH_PATH, {"path": only})
    try:
        # Text in a revision is not translated, so nothing else may be.
        with _with_map(connection, None):
            yield
    finally:
        if not connection.invalidated:
            # In a transaction that PostgreSQL gave up on this fails, and the rollback does it.
            with suppress(DBAPIError):
                connection.execute(_SET_SEARCH_PATH, {"path": before})


def schema_statements(dialect: str, schema: str | None) -> Iterator[Executable]:
    """Give what stands at the start of a script that makes everything in a schema."""
    if schema is not None:
        yield CreateSchema(checked_schema(schema, dialect), if_not_exists=True)
        # A colon would begin a parameter.
        yield text(f"SET LOCAL search_path TO {quote(schema)}".replace(":", r"\:"))


@contextmanager
def _with_map(connection: Connection, names: dict[str | None, str] | None) -> Iterator[None]:
    before = connection.get_execution_options()
    connection.execution_options(schema_translate_map=names)
    try:
        yield
    finally:
        # An option cannot be taken back in public, and set to None it would go before that of a host's statement.
        connection._execution_options = before  # noqa: SLF001


def qualified_name(name: str, schema: str | None) -> str:
    """Return a name as PostgreSQL reads it in a text: in this schema, or where the search path finds it."""
    return quote(name) if schema is None else f"{quote(schema)}.{quote(name)}"


def quote(name: str) -> str:
    """Return a name as PostgreSQL reads it in a text."""
    # Not by the dialect, which doubles a percent sign for drivers that would take it for a parameter.
    doubled = name.replace('"', '""')
    return f'"{doubled}"'
