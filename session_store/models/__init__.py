"""The three tables as declarative models: the only place where a column is written."""

from session_store.models.models import Base, Message, Session, State

__all__ = ["Base", "Message", "Session", "State"]
