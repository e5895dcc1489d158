"""The two host applications, each on both databases, and a look into their database beside them."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_store import SessionStore
from tests.conftest import Database
from tests.hosts_e2e.running import ROOT, Client, Host

PYTHON = "SESSION_STORE_TEST_HOSTS_PYTHON"


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with the wheel and the requirements of both hosts."""
    python = os.environ.get(PYTHON)
    if python is None:
        pytest.fail(f"{PYTHON} must name the Python of an environment with the wheel and the hosts' requirements")
    where = subprocess.run(
        [python, "-c", "import session_store; print(session_store.__file__)"],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()
    assert Path(where).parent.parent != ROOT, "session_store is not installed from its wheel"
    return python


@pytest.fixture
def shop(empty_database: Database, python: str, tmp_path: Path) -> Host:
    """The FastAPI application."""
    return Host.copied("fastapi_shop", tmp_path / "fastapi_shop", python, empty_database)


@pytest.fixture
def support(empty_database: Database, python: str, tmp_path: Path) -> Host:
    """The Flask application."""
    return Host.copied("flask_support", tmp_path / "flask_support", python, empty_database)


@pytest.fixture(params=["fastapi_shop", "flask_support"])
def host(request: pytest.FixtureRequest, empty_database: Database, python: str, tmp_path: Path) -> Host:
    """Either of them."""
    return Host.copied(request.param, tmp_path / request.param, python, empty_database)


@pytest.fixture
def store(empty_database: Database) -> Iterator[SessionStore]:
    """A look into the host's database, beside the host."""
    with SessionStore(empty_database.url) as store:
        yield store


@pytest.fixture
def shop_client(shop: Host) -> Iterator[Client]:
    """Somebody who speaks to the shop."""
    shop.upgrade()
    with shop.serving(SHOP_WORD_SECS="0.01") as served:
        yield served.client


@pytest.fixture
def support_client(support: Host) -> Iterator[Client]:
    """Somebody who speaks to the support desk."""
    support.upgrade()
    with support.serving() as served:
        yield served.client
