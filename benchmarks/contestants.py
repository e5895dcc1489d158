"""What is compared: ways of keeping conversations, each by the calls it has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from session_store import ChatMessage


@dataclass
class Contestant:
    """One way of keeping conversations in one database.

    Its calls, where it has them, take and mean the same as everybody else's:

    * ``append(key, message)``: keep one message, durably, creating the session;
    * ``append_many(key, messages)``: keep several at once;
    * ``load(key)``: a list of all messages, oldest first, decoded as far as its users get them;
    * ``load_last(key, number)``: the newest so many;
    * ``newest(number)``: the newest sessions with what it knows of each;
    * ``search(word, number)``: the newest sessions with this word in a message.
    """

    name: str
    calls: Mapping[str, Callable[..., Any]]
    fill: Callable[[Mapping[str, list[ChatMessage]]], object]
    """Put conversations there, in whatever way is fast."""
    is_awaited: bool = False
    """Whether the calls, not ``fill``, are coroutines."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """By the operation's name: what it leaves out that others do."""
