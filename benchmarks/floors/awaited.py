"""The floor on an event loop: aiosqlite, psycopg and asyncpg."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import aiosqlite
import asyncpg
import psycopg

from benchmarks.contestants import Contestant
from benchmarks.databases import psycopg_url
from benchmarks.floors import operations, sql
from benchmarks.floors.blocking import expression, tune
from benchmarks.measuring import on_loop
from benchmarks.stores import filled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy import URL

    from session_store.database.engines import Durability

    Rows = Callable[[sql.Sql, Any], Awaitable[Any]]
    Begin = Callable[[], AbstractAsyncContextManager[None]]


@contextmanager
def on_aiosqlite(url: URL, durability: Durability = "full") -> Iterator[Contestant]:
    """SQL on aiosqlite: each statement goes to its thread and back."""

    async def connected() -> aiosqlite.Connection:
        db = await aiosqlite.connect(str(url.database), isolation_level=None)
        for pragma in tune(durability):
            await db.execute(pragma)
        return db

    db = on_loop(connected())

    async def rows(statement: sql.Sql, values: Any) -> Any:
        if isinstance(values, list):
            return await db.executemany(statement.qmark, map(statement.in_order, values))
        return await db.execute_fetchall(statement.qmark, statement.in_order(values))

    @asynccontextmanager
    async def begin() -> AsyncIterator[None]:
        await db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            await db.execute("ROLLBACK")
            raise
        await db.execute("COMMIT")

    done = operations.reads(sql.SQLITE), operations.writes_on_sqlite()
    try:
        yield Contestant("aiosqlite", calls(rows, begin, *done), filled(url), is_awaited=True)
    finally:
        on_loop(db.close())


@contextmanager
def on_psycopg(url: URL) -> Iterator[Contestant]:
    """SQL on psycopg's connection for an event loop."""
    db = on_loop(psycopg.AsyncConnection.connect(psycopg_url(url), autocommit=True))

    async def rows(statement: sql.Sql, values: Any) -> Any:
        cursor = await db.execute(statement.format, statement.in_order(values))
        return await cursor.fetchall()

    done = operations.reads(sql.postgresql(expression(url))), operations.writes_on_postgresql()
    try:
        yield Contestant("psycopg, async", calls(rows, db.transaction, *done), filled(url), is_awaited=True)
    finally:
        on_loop(db.close())


@contextmanager
def on_asyncpg(url: URL) -> Iterator[Contestant]:
    """SQL on asyncpg, which prepares all statements."""
    db = on_loop(
        asyncpg.connect(
            host=url.host or str(url.query["host"]), user=url.username, password=url.password, database=url.database
        )
    )

    async def rows(statement: sql.Sql, values: Any) -> Any:
        return await db.fetch(statement.numbered, *statement.each_once(values))

    done = operations.reads(sql.postgresql(expression(url))), operations.writes_on_postgresql()
    try:
        yield Contestant("asyncpg", calls(rows, db.transaction, *done), filled(url), is_awaited=True)
    finally:
        on_loop(db.close())


def calls(
    rows: Rows, begin: Begin, reads: dict[str, operations.Read], writes: dict[str, operations.Write]
) -> dict[str, Callable[..., Any]]:
    """Return the operations as coroutine functions."""
    return {name: _read(rows, read) for name, read in reads.items()} | {
        name: _write(rows, begin, write) for name, write in writes.items()
    }


def _read(rows: Rows, read: operations.Read) -> Callable[..., Any]:
    statement, values, made = read

    async def call(*args: Any) -> Any:
        return made(await rows(statement, values(*args)))

    return call


def _write(rows: Rows, begin: Begin, write: operations.Write) -> Callable[..., Any]:
    async def made(steps: operations.Steps) -> Any:
        found = None
        while True:
            try:
                step = steps.send(found)
            except StopIteration as end:
                return end.value
            found = await rows(*step)

    async def call(*args: Any) -> Any:
        if not write.in_transaction:
            return await made(write.steps(*args))
        async with begin():
            return await made(write.steps(*args))

    return call
