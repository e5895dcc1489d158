"""The picture in ``docs/architecture.md``, drawn from the imports: ``python -m docs.architecture`` rewrites it."""

import re
from pathlib import Path
from typing import Final

import grimp

PAGE: Final = Path(__file__).with_suffix(".md")
BLOCK: Final = re.compile(r"```mermaid\n.*?```", re.DOTALL)
PACKAGE: Final = "session_store"


def picture() -> str:
    """Return the rooms of the package as a Mermaid graph: an arrow leads to what a room imports.

    An arrow is left out where other arrows lead there already.
    """
    graph = grimp.build_graph(PACKAGE)
    rooms = sorted(
        room
        for room in graph.find_children(PACKAGE)
        if graph.find_children(room) or not room.startswith(f"{PACKAGE}._")
    )
    direct = {
        room: {
            other
            for other in rooms
            if other != room and graph.direct_import_exists(importer=room, imported=other, as_packages=True)
        }
        for room in rooms
    }
    arrows = [
        f"    {_name(room)} --> {_name(other)}"
        for room in rooms
        for other in sorted(direct[room])
        if not any(other in _reached(between, direct) for between in direct[room] - {other})
    ]
    return "\n".join(["```mermaid", "graph TD", *arrows, "```"])


def page() -> str:
    """Return the page with the picture of the code as it is."""
    return BLOCK.sub(lambda _: picture(), PAGE.read_text())


def _name(room: str) -> str:
    return room.rpartition(".")[2]


def _reached(room: str, direct: dict[str, set[str]]) -> set[str]:
    return direct[room].union(*(_reached(other, direct) for other in direct[room]))


if __name__ == "__main__":
    PAGE.write_text(page())
