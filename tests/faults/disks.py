"""A small disk: a file system in memory that can be made smaller and larger while it is in use."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOM = 2**30


@dataclass(frozen=True)
class Disk:
    """A file system of its own."""

    path: Path

    def leave(self, room: int) -> None:
        """Let it have so many bytes more than are used now."""
        self._resize(shutil.disk_usage(self.path).used + room)

    def grow(self) -> None:
        """Let there be room again."""
        self._resize(ROOM)

    def _resize(self, size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)  # noqa: S607


@contextmanager
def mounted(path: Path, *options: str) -> Iterator[str | None]:
    """Mount something at a path while this lasts; the reason if it cannot be."""
    path.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *options, path], capture_output=True, text=True, check=False)  # noqa: S607
    try:
        yield _reason(done.stderr) if done.returncode else None
    finally:
        if not done.returncode:
            # At once for everybody new; whoever still has a file open keeps it until they close it.
            subprocess.run(["umount", "--lazy", path], check=True)  # noqa: S607


def _reason(said: str) -> str:
    first, *_ = said.splitlines() or [""]
    return f"mount: {first.rpartition(': ')[2]} (run it as root, or SQLite's part in `unshare --map-root-user --mount`)"
