"""What the tests of the matrix share: builds and environments, made once."""

import pytest

from tests.matrix.environments import Workshop


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workshop:
    """What builds the package and installs it, for all processes of one run."""
    if worker_id == "master":
        return Workshop(tmp_path_factory.mktemp("workshop"))
    return Workshop(tmp_path_factory.getbasetemp().parent / "workshop")
