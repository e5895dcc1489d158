"""What can be done to one table in a transaction somebody else opened: SQL, and nothing else."""

from session_store.repositories.messages import MessageRepository
from session_store.repositories.sessions import SessionRepository
from session_store.repositories.states import StateRepository

__all__ = ["MessageRepository", "SessionRepository", "StateRepository"]
