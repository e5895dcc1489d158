"""The async interface without awaiting, so that one plain test serves both stores."""

from collections.abc import Awaitable, Callable
from typing import Any

END = object()


async def _result(awaitable: Awaitable[Any]) -> Any:
    """Make a coroutine of any awaitable: a Runner takes nothing else."""
    return await awaitable


class SyncAdapter:
    """An async object behind the synchronous interface of its twin.

    What a call returns is awaited if it can be; else it is a transaction, a joined
    interface or an async iterator, and is wrapped in the same way.
    """

    def __init__(self, target: Any, run: Callable[..., Any]) -> None:
        self._target = target
        self._run = run

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        return self._calling(value) if callable(value) else value

    def _calling(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if isinstance(result, Awaitable):
                return self._run(_result(result))
            return SyncAdapter(result, self._run)

        return call

    def __enter__(self) -> Any:
        return SyncAdapter(self._run(self._target.__aenter__()), self._run)

    def __exit__(self, *error: object) -> Any:
        return self._run(self._target.__aexit__(*error))

    def __iter__(self) -> "SyncAdapter":
        return SyncAdapter(aiter(self._target), self._run)

    def __next__(self) -> Any:
        item = self._run(_result(anext(self._target, END)))
        if item is END:
            raise StopIteration
        return item
