"""Open a ticket, write to it, read it, close it.

Each request is one transaction: the ticket's row and the messages are committed together, or neither is.
"""

import re
from typing import Any, Final, cast
from uuid import uuid4

from flask import Blueprint, abort, current_app, request
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError
from werkzeug.exceptions import HTTPException

from session_store import ChatMessage, SessionStore, StoreError
from support.models import Ticket, db

ROLES: Final = {"user", "assistant"}
TICKET: Final = f"/tickets/<int(max={2**31 - 1}):number>"
"""A number past the column's range is no ticket's; PostgreSQL would refuse to compare it."""

PAGE: Final = 50
LAST_SEQ: Final = 2**63 - 1
MAX_MAIL_ID_BYTES: Final = 998
"""As long as a line of a mail may be. A row of an index has room for it, which it has not for a text of any length."""

UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
"""JSON can spell NUL and lone surrogates, but PostgreSQL has no text with them."""

tickets = Blueprint("tickets", __name__)


@tickets.errorhandler(StoreError)
def refused(error: StoreError) -> tuple[dict[str, str], int]:
    """Say what the store could not do: 422 if it was asked for something impossible, 503 if it may be tried again."""
    return {"error": str(error)}, 422 if isinstance(error, ValueError) else 503


@tickets.app_errorhandler(HTTPException)
def failed(error: HTTPException) -> tuple[dict[str, str | None], int]:
    """Say in JSON what is wrong."""
    return {"error": error.description}, error.code or 500


@tickets.get("/health")
def health() -> dict[str, Any]:
    """Say that the store can serve; 503 with the reason where it cannot."""
    return {"status": "ok", **_store().health()._asdict()}


@tickets.post("/tickets")
def open_ticket() -> tuple[dict[str, Any], int]:
    """Open a ticket with its first message."""
    mail_id, sender, subject, text = _fields("mail_id", "sender", "subject", "text")
    if len(mail_id.encode()) > MAX_MAIL_ID_BYTES:
        abort(400, f"mail_id must be at most {MAX_MAIL_ID_BYTES} bytes long")
    key = f"mail_{uuid4().hex}"
    conversation = _store().joined_to(db.session)
    conversation.create_session(key, name=subject, owner=sender, attributes={"channel": "mail"})
    conversation.append(key, ChatMessage.user(text))
    ticket = Ticket(session_key=key, mail_id=mail_id, subject=subject)
    db.session.add(ticket)
    try:
        db.session.flush()
    except IntegrityError:
        # Nothing is committed: what was not, is rolled back when the request ends.
        abort(409, f"mail {mail_id!r} has opened a ticket before")
    conversation.append(key, ChatMessage.assistant(f"This is ticket {ticket.number}. We are looking into it."))
    db.session.commit()
    return _shown(ticket), 201


@tickets.get(TICKET)
def show_ticket(number: int) -> dict[str, Any]:
    """Return a ticket and the last that was said about it, or what was said before the ``before_seq`` given."""
    return _shown(_ticket(number), request.args.get("before_seq", LAST_SEQ, type=int))


@tickets.post(f"{TICKET}/messages")
def add_message(number: int) -> tuple[dict[str, Any], int]:
    """Add a message to an open ticket."""
    role, text = _fields("role", "text")
    if role not in ROLES:
        abort(422, f"role must be one of {', '.join(sorted(ROLES))}")
    key = _change(number, is_waiting=role == "user")
    stored = _store().joined_to(db.session).append(key, ChatMessage(role, text))
    db.session.commit()
    return {"seq": stored.seq}, 201


@tickets.post(f"{TICKET}/close")
def close_ticket(number: int) -> dict[str, Any]:
    """Close a ticket, and say so in its conversation."""
    key = _change(number, is_open=False, is_waiting=False)
    conversation = _store().joined_to(db.session)
    conversation.append(key, ChatMessage.assistant("This ticket is closed."))
    conversation.set_session_state(key, "closed")
    db.session.commit()
    return _shown(_ticket(number))


def _store() -> SessionStore:
    return cast("SessionStore", current_app.extensions["session_store"])


def _fields(*names: str) -> list[str]:
    body = request.get_json()
    for name in names:
        if not isinstance(body, dict) or not isinstance(body.get(name), str) or not body[name]:
            abort(422, f"{name} must be a string that is not empty")
        if UNSTORABLE.search(body[name]):
            abort(400, f"{name} holds a NUL character or a lone surrogate")
    return [body[name] for name in names]


def _ticket(number: int) -> Ticket:
    return db.get_or_404(Ticket, number, description=f"there is no ticket {number}")


def _change(number: int, **values: bool) -> str:
    """Change an open ticket and return the key of its conversation; its row is locked until the transaction ends."""
    # One UPDATE, not a look and then a change: in between, somebody else could close it.
    still_open = update(Ticket).where(Ticket.number == number, Ticket.is_open, Ticket.session_key.is_not(None))
    key: str | None = db.session.scalar(still_open.values(values).returning(Ticket.session_key))
    if key is None:
        _ticket(number)
        abort(409, f"ticket {number} is closed")
    return key


def _shown(ticket: Ticket, before_seq: int = LAST_SEQ) -> dict[str, Any]:
    messages = []
    if ticket.session_key is not None:
        # Joined, though it only reads: by itself the store would take a second connection while the session holds one,
        # and requests that wait for their second one in a full pool wait for each other.
        conversation = _store().joined_to(db.session)
        messages = conversation.history(ticket.session_key, before_seq=before_seq, limit=PAGE)
    return {
        "number": ticket.number,
        "subject": ticket.subject,
        "is_open": ticket.is_open,
        "is_waiting": ticket.is_waiting,
        "messages": [
            {"seq": stored.seq, "role": stored.message.role, "text": stored.message.content} for stored in messages
        ],
    }
