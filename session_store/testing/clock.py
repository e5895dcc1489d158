"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class Clock:
    """A clock for tests; its time is in UTC."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Return the time."""
        return self.now

    def advance(self, seconds: float) -> datetime:
        """Advance by seconds (back if negative), and return the new time."""
        return self.set(self.now + timedelta(seconds=seconds))

    def set(self, now: datetime) -> datetime:
        """Set the time, and return it."""
        self.now = now
        return now
