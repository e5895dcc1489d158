"""Compare a database with the tables of `session_store.models`, with Alembic, and with the views.

Primary keys, conditions of indexes and collations are not compared.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from sqlalchemy import inspect

from session_store.analytics import indexes as analytics_indexes
from session_store.database import revisions
from session_store.migrations import views_v1
from session_store.migrations.alembic_hooks import PREFIX, include_object
from session_store.models.models import MESSAGES
from session_store.search import fts5, tsvector

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection
    from sqlalchemy.schema import SchemaItem

IGNORED_OBJECTS: Final = {
    # SQLite's row id column, and the key that is the primary key on PostgreSQL.
    ("column", "id"),
    ("unique_constraint", "session_store_messages_session_key_seq_key"),
    # The optional search index.
    *(("table", name) for name in fts5.TABLES),
    ("index", tsvector.INDEX),
    # Indexes on expressions, which Alembic cannot compare, and the optional ones.
    *(("index", name) for name, _, _ in views_v1.DAY_INDEXES),
    *(("index", name) for name in analytics_indexes.NAMES),
}
"""Objects that are in the database but not in the models, by kind and exact name."""


class Difference(NamedTuple):
    """A difference: the kind and name of the object, the change, and a description."""

    kind: str
    name: str
    change: Literal["missing", "not ours", "changed"]
    description: str


def include_in_check(dialect: str) -> Callable[..., bool]:
    """Return the ``include_object`` hook of our own ``alembic check``.

    Args:
        dialect: ``"sqlite"`` or ``"postgresql"``.
    """
    from session_store.models.indexes import POSTGRESQL_INDEXES  # noqa: PLC0415

    not_here = set() if dialect == "postgresql" else {index.name for index in POSTGRESQL_INDEXES}

    def include(
        item: SchemaItem,
        name: str | None,
        kind: str,
        reflected: bool,  # noqa: FBT001 - the parameters are Alembic's
        compare_to: SchemaItem | None,
    ) -> bool:
        is_known = (kind, name) in IGNORED_OBJECTS if reflected else kind == "index" and name in not_here
        return not is_known and not include_object(item, name, kind, reflected, compare_to)

    return include


def differences(db: Connection, *, include_others: bool = True) -> list[Difference]:
    """Return the differences; ``include_others``: also objects with our prefix that this version does not know."""
    # Importing Alembic takes a third of a second, and a store with up-to-date tables does not need it.
    from alembic.autogenerate import compare_metadata  # noqa: PLC0415
    from alembic.migration import MigrationContext  # noqa: PLC0415

    from session_store.models.indexes import METADATA  # noqa: PLC0415

    options = {
        "version_table": revisions.VERSION_TABLE,
        "include_name": _may_be_ours,
        "include_object": include_in_check(db.dialect.name),
        "compare_server_default": True,
    }
    found: list[Difference] = []
    with warnings.catch_warnings():
        # The optional index by day.
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index session_store_")
        compared = compare_metadata(MigrationContext.configure(db, opts=options), METADATA)
    for difference in compared:
        # Alembic returns the changes of one column as a list.
        found += map(_describe, difference if isinstance(difference, list) else [difference])
    views = set(inspect(db).get_view_names())
    found += [_missing("view", name, name) for name in views_v1.NAMES if name not in views]
    # Tables created by create_all have none, like the models.
    if (
        db.dialect.name == "sqlite"
        and inspect(db).has_table(MESSAGES.name)
        and all(column["name"] != "id" for column in inspect(db).get_columns(MESSAGES.name))
    ):
        found.append(_missing("column", "id", f"{MESSAGES.name}.id"))
    return [difference for difference in found if include_others or difference.change != "not ours"]


def _may_be_ours(name: str | None, kind: str, _parents: object) -> bool:
    # Without it, Alembic reflects every table of the application.
    return kind != "table" or ((name or "").startswith(PREFIX) and (kind, name) not in IGNORED_OBJECTS)


def _missing(kind: str, name: str, whole_name: str) -> Difference:
    return Difference(kind, name, "missing", f"{kind} {whole_name} is missing")


def _describe(difference: tuple[Any, ...]) -> Difference:
    # Alembic returns operations: ``add`` for missing objects, ``remove`` for extra ones.
    what, *about = difference
    does, _, kind = what.partition("_")
    if does == "modify":
        _schema, table, column, _existing, found, needed = about
        in_words = f"column {table}.{column}: its {kind} is {found!r}, not {needed!r}"
        return Difference("column", column, "changed", in_words)
    item = about[-1]
    whole_name = item.name if kind == "table" else f"{item.table.name}.{item.name}"
    if does == "add":
        return _missing(kind, item.name, whole_name)
    return Difference(kind, item.name, "not ours", f"{kind} {whole_name} is not ours")
