"""Hooks for an application's Alembic run: ignore our tables, render our types, and run our branch.

Pass them to ``context.configure`` or call them in ``env.py``; an application with hooks of its own calls ours from
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from session_store.database.revisions import HEAD, is_known
from session_store.interface.errors import StoreError
from session_store.models.types import ExactJson, ExactText, UtcDateTime

if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.script import ScriptDirectory
    from sqlalchemy.schema import SchemaItem

LOCATION: Final = "session_store:migrations/versions"
"""The location of the revisions, for ``version_locations`` in ``alembic.ini``."""

PREFIX: Final = "session_store_"
"""The prefix of the names of our tables."""
_POSTGRESQL: Final = "from sqlalchemy.dialects import postgresql"
_PLAIN_TYPES: Final = {
    ExactText: "sa.Text()",
    ExactJson: "postgresql.JSONB(astext_type=sa.Text()).with_variant(sa.Text(), 'sqlite')",
    UtcDateTime: "sa.DateTime(timezone=True).with_variant(sa.String(length=32), 'sqlite')",
}


def include_object(
    item: SchemaItem,
    name: str | None,
    kind: str,
    reflected: bool,  # noqa: ARG001, FBT001 - the parameters are Alembic's
    compare_to: SchemaItem | None,  # noqa: ARG001
) -> bool:
    """Return whether autogenerate compares an object: True for everything but our tables and their indexes.

    Every name that starts with ``session_store_`` is ours, so that tables of newer revisions are ignored, too.
    """
    table = name if kind == "table" else getattr(getattr(item, "table", None), "name", None)
    return not (table or "").startswith(PREFIX)


def render_item(kind: str, item: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """Render our column types as plain SQLAlchemy, so that an application's revision does not import this package.

    Returns False for everything else, which Alembic then renders.
    """
    spelled = _PLAIN_TYPES.get(type(item)) if kind == "type" else None
    if spelled is None:
        return False
    if "postgresql." in spelled:
        autogen_context.imports.add(_POSTGRESQL)
    return spelled


def require_branch(script: ScriptDirectory) -> None:
    """Check that an application's Alembic run includes our revisions; pass ``context.script``.

    With ``path_separator = os``, Alembic splits ``session_store:migrations/versions`` at the colon, finds no revision
    and reports no error.

    Raises:
        StoreError: The revisions are missing, or older than this package needs.
    """
    try:
        known = {revision.revision for revision in script.walk_revisions()}
    except KeyError as missing:
        # A revision of the application depends on one of ours, without which Alembic cannot build its graph.
        if not is_known(str(missing.args[0])):
            raise
        known = set()
    if HEAD in known:
        return
    locations = ", ".join(repr(str(location)) for location in script.version_locations or [])
    problem = (
        f"revision {HEAD} of session_store is not among the revisions of this Alembic run; version_locations is "
        f"[{locations}]. Add {LOCATION!r} to it, with path_separator = newline or space: os or : cuts it in two"
    )
    raise StoreError(problem)
