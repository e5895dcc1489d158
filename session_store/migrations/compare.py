"""What a database has otherwise than the tables of `session_store.models`, as Alembic compares them, and the views.

It does not see primary keys, conditions of indexes and collations.
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
    # SQLite's row number, which nothing shows, and the key that is the primary one elsewhere.
    ("column", "id"),
    ("unique_constraint", "session_store_messages_session_key_seq_key"),
    # The search index, which may be left out.
    *(("table", name) for name in fts5.TABLES),
    ("index", tsvector.INDEX),
    # Indexes on expressions, which Alembic cannot compare, and those that were asked for.
    *(("index", name) for name, _, _ in views_v1.DAY_INDEXES),
    *(("index", name) for name in analytics_indexes.NAMES),
}
"""What the database has and the tables of `session_store.models` do not, by kind and exact name."""


class Difference(NamedTuple):
    """One thing that is otherwise: what kind of thing, what it is called, how it differs, and all that in words."""

    kind: str
    name: str
    change: Literal["missing", "not ours", "changed"]
    description: str


def include_in_check(dialect: str) -> Callable[..., bool]:
    """Return what says at which objects ``alembic check`` of our own looks: at our tables, and what this database has.

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
    """Return what differs; ``strangers`` are things of ours that this version knows nothing of."""
    # Alembic takes a third of a second to import, and a store whose tables are there does not need it.
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
        # The one by day, of those analysts may ask for.
        warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based index session_store_")
        compared = compare_metadata(MigrationContext.configure(db, opts=options), METADATA)
    for difference in compared:
        # Changes of one column come as a list of their own.
        found += map(_describe, difference if isinstance(difference, list) else [difference])
    views = set(inspect(db).get_view_names())
    found += [_missing("view", name, name) for name in views_v1.NAMES if name not in views]
    # Tables made by create_all have none, because the models do not.
    if (
        db.dialect.name == "sqlite"
        and inspect(db).has_table(MESSAGES.name)
        and all(column["name"] != "id" for column in inspect(db).get_columns(MESSAGES.name))
    ):
        found.append(_missing("column", "id", f"{MESSAGES.name}.id"))
    return [difference for difference in found if include_others or difference.change != "not ours"]


def _may_be_ours(name: str | None, kind: str, _parents: object) -> bool:
    # Without it Alembic reads every table of the host's.
    return kind != "table" or ((name or "").startswith(PREFIX) and (kind, name) not in IGNORED_OBJECTS)


def _missing(kind: str, name: str, whole_name: str) -> Difference:
    return Difference(kind, name, "missing", f"{kind} {whole_name} is missing")


def _describe(difference: tuple[Any, ...]) -> Difference:
    # Alembic says what it would do to the database: add what is missing there, remove what is too much.
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
