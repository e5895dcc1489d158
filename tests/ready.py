"""Programs that start at once: forked off a process that has imported what they will import.

A command line of ours takes a second to import SQLAlchemy, Alembic and itself, and a page has many of them. In the
folder that `programs` gives, ``python``, ``alembic`` and ``session-store`` are clients of a server that forks for each
call. What is forked has the caller's files, environment and directory, runs nothing that was not asked for, and ends
when its caller is killed.
"""

import atexit
import contextlib
import functools
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any, Final, NoReturn

ROOT: Final = Path(__file__).parent.parent
_LENGTH: Final = struct.Struct("!I")

_CLIENT: Final = """\
#!{python} -IS
import json, os, socket, struct, sys
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    asked = json.dumps([{name!r}, sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(server, [struct.pack("!I", len(asked))], [0, 1, 2])
    server.sendall(asked)
    code = server.recv(1)
os._exit(code[0] if code else 1)
"""


@functools.cache
def programs() -> Path:
    """The folder with the programs; their server lives as long as this process."""
    folder = tempfile.TemporaryDirectory()
    address = str(Path(folder.name, "server"))
    for name in ("python", "alembic", "session-store"):
        path = Path(folder.name, name)
        path.write_text(_CLIENT.format(python=sys.executable, address=address, name=name))
        path.chmod(0o700)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.ready", address],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"

    def end() -> None:
        with server:
            server.terminate()
        folder.cleanup()

    atexit.register(end)
    return Path(folder.name)


def serve(address: str) -> NoReturn:
    """Fork for each caller."""
    import session_store.cli.app  # noqa: PLC0415 - so that no program has to
    import session_store.store.sync  # noqa: F401, PLC0415

    with contextlib.suppress(ImportError):
        import psycopg  # noqa: F401, PLC0415
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen(64)
        os.write(1, b"ready\n")
        while True:
            caller, _ = server.accept()
            if os.fork() == 0:
                server.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _attend(caller)
            caller.close()


def _attend(caller: socket.socket) -> NoReturn:
    """Run what the caller asks in a process of its own, and tell how it ended; end it if the caller is gone."""
    length, files, _, _ = socket.recv_fds(caller, _LENGTH.size, 3)
    asked = json.loads(_all_of(caller, _LENGTH.unpack(length)[0]))
    worker = os.fork()
    if worker == 0:
        caller.close()
        os.setsid()
        _become(files, *asked)
    for file in files:
        os.close(file)

    def watch() -> None:
        if not caller.recv(1):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker, signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
    _, status = os.waitpid(worker, 0)
    with contextlib.suppress(OSError):
        caller.sendall(bytes([os.waitstatus_to_exitcode(status) % 256]))
    os._exit(0)


def _all_of(caller: socket.socket, length: int) -> bytes:
    """Read so many bytes."""
    with caller.makefile("rb") as file:
        return file.read(length)


def _become(files: list[int], name: str, arguments: list[str], directory: str, environment: dict[str, str]) -> NoReturn:
    """Be the program that was called, to its end."""
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115
    # Anew: those of the process that this was forked off know of other files whether they can be sought in.
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115
    code: Any = 0
    try:
        _run(name, arguments)
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - as Python itself shows it
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _run(name: str, arguments: list[str]) -> None:
    """Run a program by its name, or what Python is asked to run."""
    # Where this package is, behind what the caller has set.
    sys.path[:] = [*filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *sys.path[1:]]
    if name == "session-store":
        from session_store.cli import main  # noqa: PLC0415 - imported already

        sys.argv = [name, *arguments]
        sys.exit(main())
    if name == "alembic":
        from alembic.config import main as alembic  # noqa: PLC0415 - imported already

        sys.argv = [name, *arguments]
        alembic(prog=name)
        return
    options = []
    while arguments and arguments[0] == "-W":
        options.append(arguments[1])
        arguments = arguments[2:]
    warnings._processoptions(options)
    match arguments:
        case ["-m", module, *rest]:
            sys.argv = [module, *rest]
            sys.path.insert(0, str(Path.cwd()))
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *rest] if not script.startswith("-"):
            sys.argv = [script, *rest]
            sys.path.insert(0, str(Path(script).resolve().parent))
            runpy.run_path(script, run_name="__main__")
        case _:
            os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606


if __name__ == "__main__":
    serve(sys.argv[1])
