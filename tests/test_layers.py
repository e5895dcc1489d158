"""A module imports only what stands before it, and each thing has its one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ORDER = [
    "errors",
    "values",
    "work",
    "types",
    "models",
    "indexes",
    "validation",
    "dialects",
    "revisions",
    "statements",
    "removals",
    "copies",
    "search",
    "repositories",
    "protocols",
    "operations",
    "identity",
    "gates",
    "transactions",
    "binds",
    "search_index",
    "analytics_indexes",
    "repairs",
    "upkeep",
    "backups",
    "stats",
    "migrations",
    "analytics",
    "diagnosis",
    "store",
    "report",
    "exports",
    "imports",
    "cli",
    "testing",
]
"""The modules and folders of the package, each importing only those above it, or within its own folder."""

NAMES_DIALECTS = {
    "types",
    "models",
    "indexes",
    "dialects",
    "search",
    "search_index",
    "analytics_indexes",
    "upkeep",
    "backups",
    "migrations",
    "diagnosis",
}
"""Where a database is spoken of by name; elsewhere a difference between them has a name of its own."""

MAX_LINES = 400

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "session_store"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")

each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))


def layer_of(path: Path) -> str:
    """The name in ORDER that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def layers_imported(path: Path) -> Iterator[str]:
    """The layers a file imports from, those for type checkers only included."""
    package = ["session_store", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*parents, node.module] if node.module else parents)
            modules = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            top, _, rest = module.partition(".")
            if top == "session_store" and rest:
                yield rest.partition(".")[0]


def texts(tree: ast.AST) -> Iterator[ast.Constant]:
    """Every string in the code; a string that stands alone is prose."""
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node


def test_every_module_has_its_place() -> None:
    """ORDER names what the package holds, no less and no more; only ``__init__`` stands outside it."""
    assert {layer_of(path) for path in MODULES} == set(ORDER)


@each_module
def test_imports_go_upwards(path: Path) -> None:
    """A module imports only from layers above its own, or from its own folder."""
    own = layer_of(path)
    above = ORDER[: ORDER.index(own) + path.parent.is_relative_to(PACKAGE / own)]

    assert set(layers_imported(path)) <= set(above)


@each_module
def test_dialects_are_named_in_their_rooms(path: Path) -> None:
    """No other module holds the name of a database as a string."""
    named = {
        node.lineno: node.value for node in texts(ast.parse(path.read_text())) if node.value in {"sqlite", "postgresql"}
    }

    assert layer_of(path) in NAMES_DIALECTS or named == {}


@each_module
def test_files_are_short(path: Path) -> None:
    """A file past 400 lines has a second job."""
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_the_alembic_folder_is_no_package() -> None:
    """With an ``__init__.py`` it would hide the library of the same name."""
    assert (ROOT / "alembic" / "env.py").is_file()
    assert not (ROOT / "alembic" / "__init__.py").exists()
