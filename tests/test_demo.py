"""``make demo`` shows what it says, as often as one likes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from session_store import SessionQuery, SessionStore

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"


def demo(path: Path) -> str:
    """Run the demo on a file and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / "demo.py", path],
        cwd=path.parent,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_demo_prints_the_same_every_time(tmp_path: Path) -> None:
    """It begins anew, by a clock that stands still, and leaves nothing but its database."""
    first, second = demo(tmp_path / "demo.db"), demo(tmp_path / "demo.db")

    assert first == second
    assert "34 messages in 6 sessions. Imported again, it adds 0." in first
    assert [path.name for path in tmp_path.iterdir()] == ["demo.db"]


def test_demo_leaves_what_it_shows(tmp_path: Path) -> None:
    """The stuck session is recovered, the running one goes on, the old one is gone."""
    demo(tmp_path / "demo.db")

    with SessionStore(tmp_path / "demo.db") as store:
        assert [head.key for head in store.list_running_sessions()] == ["web_bo"]
        assert store.list_sessions(SessionQuery(state="error")) == ["slack_report-bot"]
        assert not store.session_exists("email_4711")
        assert store.list_sessions(SessionQuery(keyword="新幹線")) == ["line_haruka"]


def test_the_file_has_what_a_newcomer_has() -> None:
    """Tool calls by name, answers to them, tokens, models and latencies, in payloads."""
    lines = [json.loads(line) for line in (EXAMPLES / "conversations.jsonl").read_text("utf-8").splitlines()]
    payloads = [line["payload"] for line in lines if "payload" in line]

    assert {name for payload in payloads for name in payload} == {
        "tool_calls",
        "tool_call_id",
        "model",
        "usage",
        "latency_ms",
    }
    assert {line["role"] for line in lines} == {"system", "user", "assistant", "tool"}
