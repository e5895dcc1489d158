"""What a host's Alembic run asks of us: to leave our tables alone, to spell our types, and to carry our branch.

Each is passed to ``context.configure`` or called in the host's ``env.py``; a host with hooks of its own calls ours
from them.
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
"""Where the revisions are, as ``version_locations`` of a host's ``alembic.ini`` says it."""

PREFIX: Final = "session_store_"
"""How the name of every table of ours begins."""
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
    """Say that a host's autogenerate is to look at this: at anything but our tables and what is on them.

    Names that start with ``session_store_`` are ours, those of revisions this version does not know yet included: a
    host's own table of such a name is not looked at either.
    """
    table = name if kind == "table" else getattr(getattr(item, "table", None), "name", None)
    return not (table or "").startswith(PREFIX)


def render_item(kind: str, item: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """Spell a column type of ours in plain SQLAlchemy, so that a host's revision does not import us.

    False for everything else, which tells Alembic to spell it itself.
    """
    spelled = _PLAIN_TYPES.get(type(item)) if kind == "type" else None
    if spelled is None:
        return False
    if "postgresql." in spelled:
        autogen_context.imports.add(_POSTGRESQL)
    return spelled


def require_branch(script: ScriptDirectory) -> None:
    """Make sure that a host's Alembic run carries our revisions; pass it ``context.script``.

    With ``path_separator = os`` Alembic cuts ``session_store:migrations/versions`` in two at the colon, finds
    nothing in either half, and ends as if all were well.

    Raises:
        StoreError: The revisions are missing, or older than this package needs.
    """
    try:
        known = {revision.revision for revision in script.walk_revisions()}
    except KeyError as missing:
        # A revision of the host's depends on one of ours, and without it Alembic cannot draw its map.
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
