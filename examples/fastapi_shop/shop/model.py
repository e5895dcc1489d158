"""A stand-in for the language model of your choice."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from shop.settings import WORD_SECS

NAME: Final = "echo-1"


async def words(question: str) -> AsyncIterator[str]:
    """Answer a question, one word at a time."""
    for word in f"You asked: {question}".split():
        await asyncio.sleep(WORD_SECS)
        yield f"{word} "
