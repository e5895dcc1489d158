"""What the package promises to keep: the names of its public modules, and how they are called.

``python -m tests.public`` writes the list anew; a line that goes or changes breaks whoever uses it.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Protocol, TypeVar

from sqlalchemy import Table, orm

MODULES = (
    "session_store",
    "session_store.analytics",
    "session_store.maintenance",
    "session_store.maintenance.report",
    "session_store.migrations",
    "session_store.models",
    "session_store.search.index",
    "session_store.testing",
    "session_store.transfer",
)
"""Where public names are; what is in others may change with any version."""

LIST = Path(__file__).with_name("public_api.txt")


def names(module: ModuleType) -> list[str]:
    """The public names of a module: those it lists, or else those it defines."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return sorted(listed)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
        and not isinstance(value, TypeVar)
    )


def lines() -> Iterator[str]:
    """Every public name, with its signature, its fields, or its columns."""
    for name in MODULES:
        module = importlib.import_module(name)
        for each in names(module):
            yield from _about(f"{name}.{each}", getattr(module, each))


def _about(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, Table):
        columns = ", ".join(f"{column.name} {column.type.__class__.__name__}" for column in value.columns)
        yield f"{name} = {value.name}: {columns}"
    elif inspect.isclass(value):
        yield from _about_class(name, value)
    elif isinstance(value, FunctionType):
        yield f"{'async ' * inspect.iscoroutinefunction(value)}{name}{_signature(value)}"
    else:
        yield f"{name}: {type(value).__name__}"


def _about_class(name: str, value: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in value.__bases__ if base is not object)
    yield f"class {name}({bases})"
    if issubclass(value, Enum):
        yield from (f"    {member.name} = {member.value}" for member in value)
        return
    if issubclass(value, orm.DeclarativeBase):
        if orm.DeclarativeBase in value.__bases__:
            return
        yield from (f"    {attribute}" for attribute in sorted(orm.class_mapper(value).attrs.keys()))
        return
    if "__init__" in vars(value) and Protocol not in value.__bases__:
        yield f"    __init__{_signature(value)}"
    fields = getattr(value, "_fields", None) or getattr(value, "__annotations__", ())
    for field in fields:
        if not field.startswith("_"):
            default = getattr(value, "_field_defaults", {}).get(field, ...)
            yield f"    {field}{'' if default is ... else f' = {default!r}'}"
    own = {member: getattr(value, member) for cls in value.__mro__ for member in vars(cls) if _is_ours(cls, member)}
    for member, call in sorted(own.items()):
        if member in fields:
            continue
        if callable(call):
            yield f"    {'async ' * inspect.iscoroutinefunction(call)}{member}{_signature(call)}"
        else:
            yield f"    {member}"


def _signature(call: Any) -> str:
    # A default that is a function has a place in memory.
    return re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", str(inspect.signature(call)))


def _is_ours(cls: type, member: str) -> bool:
    return cls.__module__.startswith("session_store") and not member.startswith("_")


if __name__ == "__main__":
    LIST.write_text("".join(f"{line}\n" for line in lines()))
