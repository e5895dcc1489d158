"""Typed parameters of statements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import BigInteger, Text, bindparam

from session_store.models.types import UtcDateTime

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import BindParameter


def text_param(name: str) -> BindParameter[str]:
    """Return a parameter for a stored text."""
    return bindparam(name, type_=Text())


def int_param(name: str) -> BindParameter[int]:
    """Return a parameter for an integer."""
    return bindparam(name, type_=BigInteger())


def time_param(name: str) -> BindParameter[datetime]:
    """Return a parameter for a time."""
    return bindparam(name, type_=UtcDateTime())
