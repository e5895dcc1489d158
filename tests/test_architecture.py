"""The rules of the layout that import-linter does not check; its own are in ``pyproject.toml``."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs import architecture

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "session_store"

NAMES_DIALECTS = {"models", "database", "search", "analytics/indexes.py", "maintenance", "migrations"}
"""Where a database may be named; elsewhere a difference between the two has a name of its own."""


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield every string of the code that is not a docstring."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node


def test_dialects_are_named_in_few_rooms() -> None:
    """No other module holds the name of a database as a string."""
    named = {
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if not any(path.is_relative_to(PACKAGE / room) for room in NAMES_DIALECTS)
        for node in strings(ast.parse(path.read_text()))
        if node.value in {"sqlite", "postgresql"}
    }

    assert named == set()


def test_the_top_of_the_package_is_read_at_a_glance() -> None:
    """The package has at most 14 entries at its top."""
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}

    assert len(entries) <= 14


def test_the_picture_shows_the_imports() -> None:
    """``python -m docs.architecture`` draws the picture from the imports, and nobody by hand."""
    assert architecture.PAGE.read_text() == architecture.page()


def test_the_alembic_folder_is_no_package() -> None:
    """With an ``__init__.py`` it would hide the library of the same name."""
    assert (ROOT / "alembic" / "env.py").is_file()
    assert not (ROOT / "alembic" / "__init__.py").exists()
