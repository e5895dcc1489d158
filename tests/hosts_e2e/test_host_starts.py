"""The commands of each README do what they say."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.hosts_e2e.running import ROOT, Client, Host

pytestmark = [pytest.mark.hosts, pytest.mark.matrix_sample]

HOSTS = ["fastapi_shop", "flask_support"]
KEY = re.compile(r"web_[0-9a-f]+…?")
TIME = re.compile(r"\d{4}-[^\"]*")


@pytest.mark.parametrize("name", HOSTS)
def test_without_a_database_given_it_is_a_file_here(name: str, python: str, tmp_path: Path) -> None:
    """Up and running without a setting; the file is in the folder it was started in."""
    host = Host.copied(name, tmp_path / name, python, None)
    host.upgrade()
    with host.serving() as served:
        assert served.client.get("/health").status == 200

    [path] = host.folder.glob("*.db")
    assert path.stem == name.partition("_")[2]


@pytest.mark.parametrize("name", HOSTS)
def test_the_readme_s_requests_are_answered_as_it_says(name: str, python: str, tmp_path: Path) -> None:
    """Each line of curl, one after the other on an empty database, gets the answer that stands below it."""
    exchanges = re.findall(r"^\$ (curl .*)\n(.*)$", (ROOT / "examples" / name / "README.md").read_text(), re.MULTILINE)
    assert len(exchanges) == 3

    host = Host.copied(name, tmp_path / name, python, None)
    host.upgrade()
    with host.serving() as served:
        key = ""
        for command, answer in exchanges:
            reply = asked(served.client, KEY.sub(key, command))
            assert ordinary(reply) == ordinary(answer), command
            key = "".join(KEY.findall(reply)) or key


def asked(client: Client, command: str) -> str:
    """Do what a line of curl does."""
    words = shlex.split(command)
    url = next(word for word in words if word.startswith("localhost"))
    body = json.loads(words[words.index("--json") + 1]) if "--json" in words else None
    path = url[url.index("/") :]
    reply = client.get(path) if body is None else client.post(path, body)
    return reply.body if isinstance(reply.body, str) else json.dumps(reply.body)


def ordinary(answer: str) -> str:
    """An answer without what differs every time, and without the spaces JSON does not mind."""
    text = TIME.sub("TIME", KEY.sub("KEY", answer.strip()))
    return json.dumps(json.loads(text), sort_keys=True) if text.startswith("{") else text
