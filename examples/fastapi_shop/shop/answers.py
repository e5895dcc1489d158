"""An answer while it is written: its words go to the client at once and to the store every few words."""

import logging
from collections.abc import AsyncIterator
from typing import Annotated, Final
from uuid import uuid4

from fastapi import Depends, HTTPException, status

from session_store import AsyncSessionBackend, ChatMessage, SessionMetadata
from shop import model
from shop.database import store
from shop.schemas import Id, Question

log = logging.getLogger(__name__)

KEEP_EVERY: Final = 8
"""Words between two writes: what a killed process loses at most."""


class Answer:
    """What the model has said so far, and the message and the turn that hold it."""

    def __init__(self, key: str, turn_id: str, seq: int, question: str) -> None:
        self._key = key
        self._turn_id = turn_id
        self._seq = seq
        self._question = question
        self._text = ""
        self.ended = False

    async def words(self) -> AsyncIterator[str]:
        """Have the question answered."""
        number = 0
        async for word in model.words(self._question):
            self._text += word
            number += 1
            yield word
            if number % KEEP_EVERY == 0 and not await store.update_last(
                self._key, self._message(complete=False), seq=self._seq
            ):
                # Its turn was taken for dead and another message has followed: what nobody can read again is not said.
                return
        # Before the response ends: whoever has read all of it finds it stored, and may ask again.
        await self.end(complete=True)

    async def end(self, *, complete: bool) -> None:
        """Store what was said, and end the turn."""
        async with store.begin() as transaction:
            kept = await transaction.update_last(self._key, self._message(complete=complete), seq=self._seq)
            await transaction.set_session_state(self._key, "idle", if_turn=self._turn_id)
        self.ended = True
        if not kept:
            log.warning("Answer %d of %s ends early: it is not the last message any more", self._seq, self._key)

    def _message(self, *, complete: bool) -> ChatMessage:
        return ChatMessage.assistant(self._text, {"model": model.NAME, "complete": complete})


async def conversation(user_id: Id, key: str) -> SessionMetadata:
    """Find the conversation that the path names; somebody else's is none."""
    found = await store.get_session_metadata(key)
    if found is None or found.owner != str(user_id):
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"user {user_id} has no conversation {key!r}")
    return found


async def begin_turn(within: AsyncSessionBackend, key: str) -> str:
    """Take a conversation's turn, in a transaction that is open: nobody else writes to it before this one ends."""
    turn_id = uuid4().hex
    if not await within.set_session_state(key, "running", turn_id, if_turn=None):
        raise HTTPException(status.HTTP_409_CONFLICT, "the answer before is not finished")
    return turn_id


async def answer(
    conversation: Annotated[SessionMetadata, Depends(conversation)], question: Question
) -> AsyncIterator[Answer]:
    """Begin to answer; whatever becomes of the response, the turn ends with it."""
    key = conversation.key
    async with store.begin() as transaction:
        turn_id = await begin_turn(transaction, key)
        await transaction.append(key, ChatMessage.user(question.content))
        stored = await transaction.append(key, ChatMessage.assistant(""))
    current = Answer(key, turn_id, stored.seq, question.content)
    try:
        yield current
    finally:
        if not current.ended:
            await current.end(complete=False)
