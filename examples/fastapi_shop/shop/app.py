"""The application: `uvicorn shop.app:app`.

Who asks is taken from the path: put your authentication there.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Final
from uuid import uuid4

from fastapi import Depends, FastAPI, HTTPException, Query, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from sqlalchemy.exc import IntegrityError

from session_store import ChatMessage, SessionMetadata, SessionQuery, StoreError
from session_store.models import Message
from shop.answers import Answer, answer, begin_turn, conversation
from shop.database import engine, sessions, store
from shop.models import Order, User
from shop.schemas import (
    ConversationOut,
    ConversationPage,
    HealthOut,
    Id,
    MessageOut,
    NewConversation,
    NewOrder,
    NewUser,
    OrderOut,
    UserOut,
)
from shop.upkeep import upkeep

logging.basicConfig(level=logging.INFO)

PAGE: Final = 50

Limit = Annotated[int, Query(ge=1, le=100)]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Keep the store tidy while the application runs."""
    task = asyncio.create_task(upkeep())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await engine.dispose()


app = FastAPI(title="A shop that is talked to", lifespan=lifespan)


@app.exception_handler(StoreError)
async def refused(_request: Request, error: StoreError) -> JSONResponse:
    """Say what the store could not do: 422 if it was asked for something impossible, 503 if it may be tried again."""
    invalid = isinstance(error, ValueError)
    code = status.HTTP_422_UNPROCESSABLE_CONTENT if invalid else status.HTTP_503_SERVICE_UNAVAILABLE
    return JSONResponse({"detail": str(error)}, code)


@app.exception_handler(RequestValidationError)
async def misunderstood(_request: Request, error: RequestValidationError) -> JSONResponse:
    """Say what is wrong with a request, without repeating it: a lone surrogate in it would not go into a response."""
    problems = [{name: problem[name] for name in ("type", "loc", "msg")} for problem in error.errors()]
    return JSONResponse({"detail": problems}, status.HTTP_422_UNPROCESSABLE_CONTENT)


@app.get("/health")
async def health() -> HealthOut:
    """Say that the store can serve; 503 with the reason where it cannot."""
    found = await store.health()
    return HealthOut(status="ok", schema_revision=found.schema, search=found.search, latency=found.latency)


@app.post("/users", status_code=status.HTTP_201_CREATED)
async def add_user(new: NewUser) -> UserOut:
    """Let somebody in."""
    user = User(name=new.name)
    try:
        async with sessions.begin() as db:
            db.add(user)
    except IntegrityError:
        raise HTTPException(status.HTTP_409_CONFLICT, f"there is a user {new.name!r} already") from None
    return UserOut(id=user.id, name=user.name)


@app.post("/users/{user_id}/conversations", status_code=status.HTTP_201_CREATED)
async def start_conversation(user_id: Id, new: NewConversation) -> ConversationOut:
    """Start a conversation of a user."""
    key = f"web_{uuid4().hex}"
    async with sessions.begin() as db:
        if await db.get(User, user_id) is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no user {user_id}")
        joined = store.joined_to(db)
        await joined.create_session(key, name=new.title, owner=str(user_id), attributes={"channel": "web"})
    return _shown(await conversation(user_id, key))


@app.get("/users/{user_id}/conversations")
async def list_conversations(user_id: Id, limit: Limit = 20, after: str | None = None) -> ConversationPage:
    """Return a user's conversations, the newest activity first."""
    return await _page(SessionQuery(owner=str(user_id), limit=limit, after=after))


@app.get("/users/{user_id}/search")
async def search(user_id: Id, words: str, limit: Limit = 20, after: str | None = None) -> ConversationPage:
    """Return the user's conversations with a message that has what was typed."""
    return await _page(SessionQuery(keyword=words, owner=str(user_id), limit=limit, after=after))


@app.get("/users/{user_id}/conversations/{key}/messages")
async def read(
    conversation: Annotated[SessionMetadata, Depends(conversation)], limit: Limit = PAGE, after_seq: int | None = None
) -> list[MessageOut]:
    """Return a conversation's messages, the oldest first."""
    return [
        MessageOut(
            seq=stored.seq,
            role=stored.message.role,
            content=stored.message.content,
            created_at=stored.created_at,
            turn_id=stored.turn_id,
        )
        for stored in await store.history(conversation.key, after_seq=after_seq, limit=limit)
    ]


@app.post("/users/{user_id}/conversations/{key}/messages")
async def ask(answer: Annotated[Answer, Depends(answer)]) -> StreamingResponse:
    """Ask something; the answer comes word by word."""
    return StreamingResponse(answer.words(), media_type="text/plain; charset=utf-8")


@app.post("/users/{user_id}/conversations/{key}/orders", status_code=status.HTTP_201_CREATED)
async def place_order(
    user_id: Id, conversation: Annotated[SessionMetadata, Depends(conversation)], new: NewOrder
) -> OrderOut:
    """Place an order: its row and what is said about it are there together, or neither is."""
    key = conversation.key
    try:
        async with sessions.begin() as db:
            joined = store.joined_to(db)
            turn_id = await begin_turn(joined, key)
            await joined.append(key, ChatMessage.user(f"I would like to buy: {new.item}."))
            order = Order(user_id=user_id, session_key=key, **new.model_dump())
            db.add(order)
            await db.flush()
            await joined.append(key, ChatMessage.assistant(f"Thank you. Your order is number {order.id}."))
            await joined.set_session_state(key, "idle", if_turn=turn_id)
    except IntegrityError:
        raise HTTPException(status.HTTP_409_CONFLICT, f"order {new.reference!r} was placed before") from None
    return await show_order(order.id)


@app.get("/orders/{order_id}")
async def show_order(order_id: Id) -> OrderOut:
    """Return an order together with the end of the conversation it was placed in."""
    async with sessions() as db:
        order = await db.get(Order, order_id)
        if order is None:
            raise HTTPException(status.HTTP_404_NOT_FOUND, f"there is no order {order_id}")
        newest = (await db.scalars(order.messages.select().order_by(Message.seq.desc()).limit(PAGE))).all()
    return OrderOut(
        id=order.id,
        user_id=order.user_id,
        session_key=order.session_key,
        reference=order.reference,
        item=order.item,
        amount_cents=order.amount_cents,
        messages=[MessageOut.model_validate(message) for message in reversed(newest)],
    )


async def _page(query: SessionQuery) -> ConversationPage:
    found = await store.search(query)
    cursor = found[-1].cursor if len(found) == query.limit else None
    return ConversationPage(conversations=[_shown(one) for one in found], next=cursor)


def _shown(head: SessionMetadata) -> ConversationOut:
    return ConversationOut(
        key=head.key,
        title=head.name,
        state=head.state,
        message_count=head.message_count,
        last_activity=head.last_activity,
    )
