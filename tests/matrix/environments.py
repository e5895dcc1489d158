"""The package as it is built, and environments in which nothing but it is installed."""

import fcntl
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.documents import ROOT, environment

KINDS = ["editable", "wheel", "sdist-wheel"]
"""How the package gets into an environment; the last one is a wheel that was built from the sdist."""


@dataclass(frozen=True)
class Environment:
    """An environment by its directory; ``source`` is where its owner finds our ``alembic.ini``."""

    directory: Path
    source: Path

    @property
    def programs(self) -> Path:
        """Where its python is, and the commands installed beside it."""
        return self.directory / "bin"

    def variables(self, **given: str) -> dict[str, str]:
        """What is set for who has activated it."""
        return environment(self.programs, CHECKOUT=str(self.source), **given)

    def run(self, *command: str, directory: Path, **given: str) -> str:
        """Run one of its commands, which must succeed; what it prints."""
        return run([str(self.programs / command[0]), *command[1:]], directory, self.variables(**given))


class Workshop:
    """Builds the package and makes environments in a directory, each when some process first asks for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.directory.mkdir(exist_ok=True)

    @property
    def source(self) -> Path:
        """The sdist, unpacked."""
        return self.built("source")

    def built(self, kind: str) -> Path:
        """The file that is a ``wheel``, an ``sdist`` or an ``sdist-wheel``; of the ``source`` its directory."""
        place = self.directory / kind
        with self._missing(kind) as missing:
            if missing and kind == "source":
                with tarfile.open(self.built("sdist")) as sdist:
                    sdist.extractall(place, filter="data")
            elif missing:
                origin = self.source if kind == "sdist-wheel" else ROOT
                what = "--sdist" if kind == "sdist" else "--wheel"
                python(["-m", "build", what, "--outdir", str(place), str(origin)])
        (made,) = place.iterdir()
        return made

    def environment(self, kind: str, extra: str = "", *beside: str) -> Environment:
        """An environment with the package of a kind, with an extra of it or none, and with what is named beside."""
        name = "-".join([kind, extra or "core", *(["beside"] if beside else []), "environment"])
        place = self.directory / name
        with self._missing(name) as missing:
            if missing:
                package = ["--editable", str(ROOT)] if kind == "editable" else [str(self.built(kind))]
                if extra:
                    package[-1] += f"[{extra}]"
                python(["-m", "venv", "--without-pip", str(place)])
                python(["-m", "pip", "--python", str(place / "bin" / "python"), "install", *package, *beside])
        return Environment(place, ROOT if kind == "editable" else self.source)

    @contextmanager
    def _missing(self, name: str) -> Iterator[bool]:
        """Whether a thing is still to be made, which is for the one who asks first; all others wait until it is."""
        with (self.directory / f"{name}.made").open("a+") as made:
            fcntl.flock(made, fcntl.LOCK_EX)
            missing = made.tell() == 0
            yield missing
            if missing:
                made.write("made")


def python(arguments: Sequence[str]) -> None:
    """Run a module that builds or installs, with the pins of the project."""
    pins = str(ROOT / "constraints.txt")
    # pip takes those of the build backend from the second name, older pips from the first.
    pinned = {"PIP_CONSTRAINT": pins, "PIP_BUILD_CONSTRAINT": pins, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **os.environ}
    pinned.pop("PYTHONPATH", None)
    run([sys.executable, *arguments], ROOT, pinned)


def run(command: Sequence[str], directory: Path, variables: dict[str, str]) -> str:
    """Run a command, which must succeed; what it prints."""
    done = subprocess.run(command, cwd=directory, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout
