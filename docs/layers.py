"""The picture of the package, from its imports: ``python -m docs.layers`` writes ``docs/layers.svg``.

A box is a module or folder, a row all that can stand no lower: each box stands above whatever it imports. A line leads
to what is imported, unless something else that is imported leads there already.
"""

from __future__ import annotations

import ast
import textwrap
from html import escape
from pathlib import Path
from statistics import mean
from typing import Final

from tests.test_layers import MODULES, ORDER, PACKAGE, layer_of, layers_imported

PICTURE: Final = Path(__file__).with_name("layers.svg")

WIDTH: Final = 1000
BOX: Final = (222, 92)
GAP: Final = (20, 40)
MARGIN: Final = 24
IN_A_ROW: Final = 4
IN_A_LINE: Final = 31

STYLE: Final = """
  svg { color-scheme: light dark; --paper: #ffffff; --box: #f3f6fb; --edge: #c2cede; --line: #9fb0c6; --ink: #1c2733;
    --quiet: #5b6b7d; --front: #2962d9; }
  @media (prefers-color-scheme: dark) { svg { --paper: #16191d; --box: #212830; --edge: #3b4754; --line: #55667a;
    --ink: #e4eaf1; --quiet: #9fadbd; --front: #7aa7ff; } }
  .paper { fill: var(--paper); }
  path { fill: none; stroke: var(--line); stroke-width: 1.3; }
  rect.box { fill: var(--box); stroke: var(--edge); }
  rect.front { stroke: var(--front); stroke-width: 1.6; }
  text { font: 12px system-ui, sans-serif; fill: var(--quiet); }
  text.name { font: bold 14px ui-monospace, monospace; fill: var(--ink); }
  text.size { text-anchor: end; }
"""
FRONT: Final = (
    *(
        "cli",
        "report",
        "testing",
        "imports",
        "exports",
        "store",
        "diagnosis",
        "analytics",
        "migrations",
        "upkeep",
        "backups",
        "stats",
    ),
    *("search_index", "models", "protocols", "values", "errors"),
)
"""What a host imports, or somebody types; the rest is how it is done."""


def imported() -> dict[str, set[str]]:
    """What each layer imports."""
    found: dict[str, set[str]] = {layer: set() for layer in ORDER}
    for path in MODULES:
        found[layer_of(path)].update(set(layers_imported(path)) - {layer_of(path)})
    return found


def without_detours(direct: dict[str, set[str]]) -> dict[str, set[str]]:
    """What each layer imports and reaches by nothing else that it imports."""
    reached: dict[str, set[str]] = {}
    for layer in ORDER:
        reached[layer] = direct[layer].union(*(reached[below] for below in direct[layer]))
    return {
        layer: {below for below in direct[layer] if not any(below in reached[other] for other in direct[layer])}
        for layer in ORDER
    }


def rows(direct: dict[str, set[str]]) -> list[list[str]]:
    """The layers, the lowest row first, each as low as what it imports allows, or one above that."""
    height: dict[str, int] = {}
    for layer in ORDER:
        height[layer] = 1 + max((height[below] for below in direct[layer]), default=-1)
    found = [[layer for layer in ORDER if height[layer] == row] for row in range(max(height.values()) + 1)]
    # What would be too wide stands in two rows.
    return [row[start : start + IN_A_ROW] for row in found for start in range(0, len(row), IN_A_ROW)]


def places(direct: dict[str, set[str]]) -> dict[str, tuple[float, float]]:
    """Where the middle of each box's upper edge is, the boxes of a row ordered by what they lead to."""
    found: dict[str, tuple[float, float]] = {}
    by_row = rows(direct)
    for number, row in enumerate(by_row):
        leaning = {layer: mean([found[below][0] for below in direct[layer]] or [0]) for layer in row}
        left = (WIDTH - len(row) * (BOX[0] + GAP[0]) + GAP[0]) / 2
        for place, layer in enumerate(sorted(row, key=lambda layer: leaning[layer])):
            across = left + place * (BOX[0] + GAP[0]) + BOX[0] / 2
            found[layer] = (across, MARGIN + (len(by_row) - 1 - number) * (BOX[1] + GAP[1]))
    return found


def told(layer: str) -> str:
    """What a layer is, as the first sentence of its docstring says."""
    path = PACKAGE / f"{layer}.py"
    source = path if path.exists() else PACKAGE / layer / "__init__.py"
    doc = ast.get_docstring(ast.parse(source.read_text())) or ""
    return doc.split("\n\n")[0].replace("\n", " ").replace("`", "").partition(". ")[0].removesuffix(".")


def size(layer: str) -> str:
    """How many lines of code a layer has, in hundreds, so that the picture does not change with each of them."""
    lines = sum(len(path.read_text().splitlines()) for path in MODULES if layer_of(path) == layer)
    return f"{max(100, round(lines, -2)):,} lines"


def picture() -> str:
    """Return the picture."""
    direct = without_detours(imported())
    where = places(direct)
    height = 2 * MARGIN + max(down for _, down in where.values()) - MARGIN + BOX[1]
    lines = [line(where[layer], where[below]) for layer in ORDER for below in sorted(direct[layer], key=ORDER.index)]
    boxes = [box(layer, *where[layer]) for layer in ORDER]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">',
            "<title>The modules of session_store, each above what it imports</title>",
            f"<style>{STYLE}</style>",
            '<rect class="paper" width="100%" height="100%" rx="10"/>',
            *lines,
            *boxes,
            "</svg>\n",
        ]
    )


def line(above: tuple[float, float], below: tuple[float, float]) -> str:
    """A line from the lower edge of one box to the upper edge of another."""
    across, down = above[0], above[1] + BOX[1]
    middle = GAP[1] * 0.9
    curve = (across, down + middle, below[0], below[1] - middle, *below)
    return f'<path d="M{across:g} {down:g} C{" ".join(f"{number:g}" for number in curve)}"/>'


def box(layer: str, across: float, down: float) -> str:
    """A box with the layer's name, its size, and what it is."""
    left = across - BOX[0] / 2
    kind = "box front" if layer in FRONT else "box"
    words = textwrap.wrap(told(layer), IN_A_LINE, max_lines=4, placeholder=" ...")
    return "\n".join(
        [
            f'<rect class="{kind}" x="{left:g}" y="{down:g}" width="{BOX[0]}" height="{BOX[1]}" rx="6"/>',
            f'<text class="name" x="{left + 10:g}" y="{down + 20:g}">{layer}</text>',
            f'<text class="size" x="{left + BOX[0] - 10:g}" y="{down + 20:g}">{size(layer)}</text>',
            *(
                f'<text x="{left + 10:g}" y="{down + 37 + 14.5 * number:g}">{escape(words)}</text>'
                for number, words in enumerate(words)
            ),
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
