"""What goes in and out over HTTP."""

from datetime import datetime
from typing import Annotated

from fastapi import Path
from pydantic import BaseModel, Field

Id = Annotated[int, Path(ge=1, lt=2**31)]
"""What can be a row's id: a number past the column's range would be refused by the driver, not by us."""

Text = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""What the shop's own columns can hold: PostgreSQL has no text with NUL in it. A lone surrogate is no `str` here."""


class NewUser(BaseModel):
    """Somebody who wants to talk."""

    name: Text = Field(min_length=1, max_length=100)


class UserOut(NewUser):
    """Somebody who may talk."""

    id: int


class NewConversation(BaseModel):
    """The beginning of a conversation."""

    title: Text | None = Field(default=None, max_length=200)


class ConversationOut(BaseModel):
    """A conversation without its messages."""

    key: str
    title: str | None
    state: str
    message_count: int
    last_activity: datetime


class ConversationPage(BaseModel):
    """Some conversations, and where the list goes on: ``after`` of the next request, if there is more."""

    conversations: list[ConversationOut]
    next: str | None


class Question(BaseModel):
    """What somebody asks."""

    content: str = Field(min_length=1)


class MessageOut(BaseModel, from_attributes=True):
    """One message of a conversation."""

    seq: int
    role: str
    content: str
    created_at: datetime
    turn_id: str | None


class NewOrder(BaseModel):
    """Something to buy; ``reference`` is the buyer's, and names this order alone."""

    reference: Text = Field(min_length=1, max_length=100)
    item: Text = Field(min_length=1, max_length=200)
    amount_cents: int = Field(gt=0, lt=2**31)


class OrderOut(NewOrder):
    """Something bought, and the end of the conversation in which it was."""

    id: int
    user_id: int
    session_key: str | None
    messages: list[MessageOut]


class HealthOut(BaseModel):
    """That the store can serve."""

    status: str
    schema_revision: str | None
    search: str
    latency: float
