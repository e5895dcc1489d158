"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta


class Clock:
    """The time a test says it is: aware, UTC."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        """What a store asks."""
        return self.now

    def advance(self, seconds: float) -> datetime:
        """Move on, or back if negative, and say the new time."""
        return self.set(self.now + timedelta(seconds=seconds))

    def set(self, now: datetime) -> datetime:
        """Be at this time from here on."""
        self.now = now
        return now
