"""The operations on sessions, messages and states: SQL in a transaction that the store opened, and nothing else."""

from session_store.repositories.messages import MessageRepository
from session_store.repositories.sessions import SessionRepository
from session_store.repositories.states import StateRepository

__all__ = ["MessageRepository", "SessionRepository", "StateRepository"]
