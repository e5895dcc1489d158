"""Environments other than ``.venv``, and the long runs: ``make NAME`` or ``.venv/bin/nox --session NAME``.

Read from the environment, as make passes them: ``ARGS`` for pytest or the example, ``JOBS``, ``SHARE`` of the faults,
``EXAMPLES`` of the fuzzers, ``PEERS`` and ``BENCH_DIR`` for the benchmarks. A session without an environment of its
own runs in the one that nox is in.
"""

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import nox

SQLALCHEMY_OLDER = "2.0.58"
LONG = "matrix or hosts or long or faults"

ROOT = Path(__file__).parent
PINS = (ROOT / "constraints.txt").read_text()
ENVIRONMENTS = ROOT / ".nox"
HOSTS = ENVIRONMENTS / "hosts/bin"
ARGS = shlex.split(os.environ.get("ARGS", ""))
PEERS = ["--peers"] if os.environ.get("PEERS") else []

nox.needs_version = ">=2025.2.9"  # has requires=
nox.options.default_venv_backend = "venv"
nox.options.envdir = str(ENVIRONMENTS)
nox.options.reuse_venv = "yes"
nox.options.sessions = []


def starts(python: str) -> bool:
    """Return whether a Python can be started: a shim on the path may have none behind it."""
    if shutil.which(python) is None:
        return False
    return subprocess.run([python, "-V"], capture_output=True, check=False).returncode == 0  # noqa: S603 - our own


def install(session: nox.Session, *packages: str, constraints: str = PINS, files: Iterable[Path] = ()) -> None:
    """Install packages, unless the environment has them from files with the same content."""
    digest = hashlib.sha256(f"{packages} {constraints}".encode())
    for path in (ROOT / "pyproject.toml", *files):
        digest.update(path.read_bytes())
    environment = Path(session.virtualenv.location)
    stamp, pins = environment / "installed", environment / "constraints.txt"
    if stamp.exists() and stamp.read_text() == digest.hexdigest():
        return
    stamp.unlink(missing_ok=True)
    pins.write_text(constraints)
    # pip takes the pins of a build backend from the second name, older versions of pip from the first; and it splits
    # both at spaces, which the path of a checkout may have.
    relative = str(pins.relative_to(ROOT))
    session.install("--quiet", *packages, env={"PIP_CONSTRAINT": relative, "PIP_BUILD_CONSTRAINT": relative})
    stamp.write_text(digest.hexdigest())


def pytest(session: nox.Session, *arguments: str, **env: str) -> None:
    """Run pytest in the session's environment, or in the one that nox is in."""
    python = "python" if session.python is not False else sys.executable
    jobs = os.environ.get("JOBS", "2")
    session.run(python, "-m", "pytest", "--numprocesses", jobs, *arguments, *ARGS, env=env, external=True)


@nox.session(name="test-older")
def test_older(session: nox.Session) -> None:
    """Run the tests on the older SQLAlchemy and PostgreSQL."""
    older = re.sub(r"(?m)^sqlalchemy==.*", f"sqlalchemy=={SQLALCHEMY_OLDER}", PINS)
    install(session, "--editable", ".[dev]", constraints=older)
    pytest(session, "-m", f"not ({LONG} or once)", SESSION_STORE_TEST_POSTGRES_VERSION="16")


@nox.session(python=[version for version in ("3.11", "3.12", "3.13") if starts(f"python{version}")])
def conformance(session: nox.Session) -> None:
    """Run the conformance suite on every Python of this machine."""
    install(session, "--editable", ".[dev]")
    pytest(session, "tests/conformance")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site in build/docs."""
    install(session, "--editable", ".[docs]")
    # -E: a page that is not read again has no warnings. -n: a broken link is a warning.
    options = ["-W", "--keep-going", "-n", "-E", "-q", "-b", "html", "-c", "docs"]
    session.run("python", "-m", "sphinx", *options, ".", "build/docs")
    session.log("build/docs/index.html")


@nox.session
def hosts(session: nox.Session) -> None:
    """Install the package, from a wheel, and the requirements of the example applications."""
    requirements = sorted(ROOT.glob("examples/*/requirements.txt"))
    package = (path for path in sorted(ROOT.glob("session_store/**/*")) if path.is_file() and path.suffix != ".pyc")
    options = [option for path in requirements for option in ("--requirement", str(path))]
    install(session, *options, str(ROOT), files=[*requirements, *package])


@nox.session
def peers(session: nox.Session) -> None:
    """Install other libraries to compare with, without our pins: they want other versions."""
    requirements = ROOT / "benchmarks/peers/requirements.txt"
    install(session, "--editable", ".[dev]", "--requirement", str(requirements), constraints="", files=[requirements])


@nox.session(python=False, requires=["hosts"])
def matrix(session: nox.Session) -> None:
    """Run the tests that need environments of their own or more time than a change allows."""
    pytest(session, "--verbose", "-m", "matrix or hosts or long", SESSION_STORE_TEST_HOSTS_PYTHON=str(HOSTS / "python"))


@nox.session(python=False, requires=["hosts"], name="matrix-sample")
def matrix_sample(session: nox.Session) -> None:
    """Run one test of each kind of the matrix."""
    pytest(session, "--verbose", "-m", "matrix_sample", SESSION_STORE_TEST_HOSTS_PYTHON=str(HOSTS / "python"))


@nox.session(python=False)
def faults(session: nox.Session) -> None:
    """Damage the surroundings of the store and report what was lost."""
    pytest(session, "-m", "faults", "tests/faults", SESSION_STORE_TEST_FAULTS=os.environ.get("SHARE", "1"))


@nox.session(python=False)
def fuzz(session: nox.Session) -> None:
    """Call everything public with good, bad and hostile arguments; each property runs a share of EXAMPLES."""
    pytest(session, "tests/fuzz", SESSION_STORE_TEST_EXAMPLES=os.environ.get("EXAMPLES", "32000"))


@nox.session(python=False, requires=["peers"] if PEERS else [])
def bench(session: nox.Session) -> None:
    """Run all benchmarks: an hour, and 60 GB of disk in BENCH_DIR."""
    folder = Path(os.environ.get("BENCH_DIR", "build/benchmarks"))
    folder.mkdir(parents=True, exist_ok=True)
    python = str(ENVIRONMENTS / "peers/bin/python") if PEERS else sys.executable
    place = ["--dir", str(folder)]
    programs = {
        "budget": [*PEERS, *place],
        "cost": [*PEERS, *place],
        "scale": place,
        "analytics": place,
        "charts": [],
        "figures": [],
        "neighbours": place,
    }
    if os.environ.get("SESSION_STORE_TEST_CORPORA"):
        programs["search"] = place
    for name, arguments in programs.items():
        session.run(python, "-m", f"benchmarks.{name}", *arguments, external=True)


@nox.session(python=False, name="bench-smoke")
def bench_smoke(session: nox.Session) -> None:
    """Run each benchmark once, on little data."""
    for name in ("budget", "scale", "cost", "analytics"):
        session.run(sys.executable, "-m", f"benchmarks.{name}", "--smoke", external=True)


@nox.session(python=False, requires=["hosts"], name="example-fastapi")
def example_fastapi(session: nox.Session) -> None:
    """Run the FastAPI application."""
    session.chdir("examples/fastapi_shop")
    session.run(str(HOSTS / "alembic"), "upgrade", "heads", external=True)
    session.run(str(HOSTS / "uvicorn"), "shop.app:app", *ARGS, external=True)


@nox.session(python=False, requires=["hosts"], name="example-flask")
def example_flask(session: nox.Session) -> None:
    """Run the Flask application."""
    session.chdir("examples/flask_support")
    session.run(str(HOSTS / "flask"), "--app", "support", "db", "upgrade", external=True)
    session.run(str(HOSTS / "flask"), "--app", "support", "run", *ARGS, external=True)
