"""What ``from session_store import ...`` offers."""

import ast
import importlib
import importlib.metadata
import inspect
from pathlib import Path

import pytest

import session_store
from session_store.interface import errors
from tests import public

pytestmark = pytest.mark.once


def test_all_is_sorted_and_says_nothing_twice() -> None:
    """``__all__`` reads like an index."""
    assert session_store.__all__ == sorted(set(session_store.__all__))


def test_all_can_be_imported() -> None:
    """Every name in ``__all__`` is there."""
    assert [name for name in session_store.__all__ if not hasattr(session_store, name)] == []


def test_all_is_complete() -> None:
    """A public name that ``__init__`` brings in from the package is in ``__all__``."""
    tree = ast.parse(Path(session_store.__file__).read_text())
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("session_store"))
        for alias in node.names
    }
    public = {name for name in imported if not name.startswith("_")}

    assert public <= set(session_store.__all__)


def test_every_error_is_public() -> None:
    """Whatever is raised on purpose can be caught by name."""
    raised = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, session_store.StoreError)
    }

    assert raised <= set(session_store.__all__)


def test_models_are_not_public() -> None:
    """``Session`` does not shadow SQLAlchemy's: the models are asked for by their module."""
    assert {"Session", "Message", "State"}.isdisjoint(session_store.__all__)


def test_version_is_that_of_the_distribution() -> None:
    """``__version__`` is written once, in pyproject.toml."""
    assert session_store.__version__ == importlib.metadata.version("session-store")


def test_nothing_public_changes_unnoticed() -> None:
    """What is written down is what there is: names, signatures, fields, columns; see `tests.public`."""
    assert list(public.lines()) == public.LIST.read_text().splitlines()


def test_what_is_public_is_explained() -> None:
    """Every public function and class has a docstring."""
    without = [
        f"{name}.{each}"
        for name in public.MODULES
        for module in [importlib.import_module(name)]
        for each in public.names(module)
        if callable(getattr(module, each)) and not inspect.getdoc(getattr(module, each))
    ]

    assert without == []
