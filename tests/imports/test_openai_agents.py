"""From the OpenAI Agents SDK: what becomes of its sessions and of each kind of item, and of what cannot be taken."""

import json
import math
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store import ChatMessage, InvalidQuery, SessionMetadata, SessionStore, StoreError
from session_store.transfer.results import ImportResult
from session_store.transfer.sources.openai_agents import import_openai_agents, is_openai_agents, to_message
from tests.conftest import examples
from tests.hosts import contents, disagreements
from tests.imports.conftest import Told
from tests.imports.sources import agents, writing

pytestmark = pytest.mark.once

only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
"""For what the reader does, whatever it is written to."""

AT = datetime.fromisoformat("2026-03-05T09:12:03+00:00")
LATER = "2026-03-05 10:00:00"
HELLO = {"role": "user", "content": "Hello"}
HI = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hi, Ann", "annotations": []}],
}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": '{"city": "Oslo"}'}
RETURNED = {"type": "function_call_output", "call_id": "call_1", "output": "4 degrees"}


def everything(store: SessionStore) -> list[list[tuple[Any, ...]]]:
    """All rows of our tables, which agree."""
    with store.engine.connect() as db:
        assert disagreements(db) == []
        return contents(db)


def item_of(message: ChatMessage) -> Any:
    """The item that a message was, as the module says how to have it back."""
    return (message.payload or {}).get("item", {"role": message.role, "content": message.content})


@pytest.mark.parametrize(
    ("item", "role", "content", "payload"),
    [
        (HELLO, "user", "Hello", None),
        (HELLO | {"type": "message"}, "user", "Hello", None),
        ({"role": "developer", "content": ""}, "developer", "", None),
        (HELLO | {"status": "completed"}, "user", "Hello", {}),
        (HI, "assistant", "Hi, Ann", {}),
        ({"role": "assistant", "content": None}, "assistant", "", {}),
        (
            {"role": "user", "content": [{"type": "input_text", "text": "Look"}, {"type": "input_image"}, "here"]},
            "user",
            "Look\nhere",
            {},
        ),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "No"}]}, "assistant", "No", {}),
        (
            CALL,
            "assistant",
            "",
            {"tool_calls": [{"name": "weather", "id": "call_1", "arguments": '{"city": "Oslo"}'}]},
        ),
        (RETURNED, "tool", "4 degrees", {"tool_call_id": "call_1"}),
        (
            RETURNED | {"output": [{"type": "input_text", "text": "4"}, {"type": "input_image"}]},
            "tool",
            "4",
            {"tool_call_id": "call_1"},
        ),
        (
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Oslo"}], "encrypted_content": "gAAA"},
            "assistant",
            "Oslo",
            {},
        ),
        (
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "Oslo"}],
                "content": [{"type": "reasoning_text", "text": "It is north"}],
            },
            "assistant",
            "Oslo\nIt is north",
            {},
        ),
        ({"type": "web_search_call", "id": "ws_1", "status": "completed"}, "assistant", "", {}),
        (
            {"type": "code_interpreter_call", "code": "1 + 1", "outputs": [{"type": "logs", "logs": "2"}]},
            "assistant",
            "1 + 1\n2",
            {},
        ),
        (
            {"type": "mcp_call", "id": "mcp_1", "name": "read", "arguments": "{}", "output": "text"},
            "assistant",
            "text",
            {"tool_calls": [{"name": "read", "id": "mcp_1", "arguments": "{}"}]},
        ),
        (
            {"type": "custom_tool_call", "call_id": "call_2", "name": "patch", "input": "***"},
            "assistant",
            "",
            {"tool_calls": [{"name": "patch", "id": "call_2", "arguments": "***"}]},
        ),
        (
            {"type": "shell_call_output", "call_id": "call_3", "output": [{"stdout": "a", "stderr": "b"}]},
            "tool",
            "a\nb",
            {"tool_call_id": "call_3"},
        ),
        ({"type": "item_reference", "id": "msg_2"}, "assistant", "", {}),
        ({"type": "function_call_output", "output": {}}, "tool", "", {}),
        ({"type": 7, "text": "seven"}, "assistant", "seven", {}),
        ({}, "assistant", "", {}),
    ],
)
def test_items(item: dict[str, Any], role: str, content: str, payload: dict[str, Any] | None) -> None:
    """A message speaks for itself; a call is the assistant's, what came back the tool's; the rest is kept as it was."""
    expected = None if payload is None else payload | {"item": item}

    assert to_message(item) == ChatMessage(role, content, expected)


def test_a_session_is_taken(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """With its key, its times and its items in their order, which can be had back as they were."""
    items = [HELLO, CALL, RETURNED, HI]
    file = agents(tmp_path / "agents.db", {"ann": items})
    agents(file, {"ann": []}, at=LATER)

    assert told.by(import_openai_agents)(target, file) == ImportResult(4, 4, 0, 0, 1)
    assert told == Told()
    assert target.get_session_metadata("ann") == SessionMetadata(
        "ann",
        None,
        None,
        {},
        created_at=AT,
        last_activity=datetime.fromisoformat(f"{LATER}+00:00"),
        message_count=4,
        last_seq=4,
        state="idle",
        turn_id=None,
        state_entered_at=None,
    )
    assert [(stored.seq, stored.created_at) for stored in target.history("ann")] == [(n, AT) for n in (1, 2, 3, 4)]
    assert [item_of(message) for message in target.load("ann")] == items


def test_done_again_it_adds_what_is_new(target: SessionStore, tmp_path: Path) -> None:
    """A second run finds all there and changes nothing; a source that has grown adds the rest."""
    file = agents(tmp_path / "agents.db", {"ann": [HELLO, HI]})
    import_openai_agents(target, file)
    before = everything(target)

    assert import_openai_agents(target, file) == ImportResult(2, 0, 2, 0, 1)
    assert everything(target) == before

    agents(file, {"ann": [CALL, RETURNED], "bo": [HELLO]}, at=LATER)
    assert import_openai_agents(target, file) == ImportResult(5, 3, 2, 0, 2)
    assert [item_of(message) for message in target.load("ann")] == [HELLO, HI, CALL, RETURNED]
    assert len(everything(target)[1]) == 5


@only_sqlite
def test_a_dry_run_says_the_same_and_writes_nothing(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """Its figures and what it tells are those of the run that follows."""
    file = agents(tmp_path / "agents.db", {"ann": [HELLO, 7], "": [HELLO]})
    empty = everything(target)
    dry, real = Told(), told
    tried = dry.by(import_openai_agents)(target, file, dry_run=True)

    assert everything(target) == empty
    assert real.by(import_openai_agents)(target, file) == tried == ImportResult(2, 1, 0, 1, 1, 1)
    assert real == dry


@only_sqlite
def test_an_item_that_was_taken_back_ends_the_session(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """`pop_item` and another item in its place: what is in the store stays, and the session is told as skipped."""
    file = agents(tmp_path / "agents.db", {"ann": [HELLO, HI], "bo": [HELLO]})
    import_openai_agents(target, file)
    with writing(file) as db:
        db.execute("DELETE FROM agent_messages WHERE id = 2")
    agents(file, {"ann": [CALL], "bo": [HI]})

    assert told.by(import_openai_agents)(target, file) == ImportResult(4, 1, 2, 0, 1, 1)
    assert [skipped.session_key for skipped in told.skipped] == ["ann"]
    assert [item_of(message) for message in target.load("ann")] == [HELLO, HI]


@only_sqlite
@pytest.mark.parametrize("tables", [("sessions", "messages"), ('a "b"', "c;--")])
def test_the_tables_may_have_other_names(target: SessionStore, tables: tuple[str, str], tmp_path: Path) -> None:
    """As the host told the SDK."""
    file = agents(tmp_path / "agents.db", {"ann": [HELLO]}, tables=tables)
    said = import_openai_agents(target, file, sessions_table=tables[0], messages_table=tables[1])

    assert said.added == 1
    with pytest.raises(InvalidQuery, match=r"agents.db' has no table 'agent_messages'"):
        import_openai_agents(target, file)


@only_sqlite
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("'{'", "is not JSON at character 2"),
        ("'{\"content\": NaN}'", "is not JSON: NaN"),
        ("'[]'", "an item must be a JSON object"),
        ("NULL", "message_data is missing"),
        ("x'7b7d'", "message_data must be text, got bytes"),
        ("CAST(x'ff' AS TEXT)", "message_data is not UTF-8"),
        ('\'{"__enc__": 1, "v": 1, "kid": "hkdf-v1", "payload": "gAAA"}\'', "is encrypted"),
        ('\'{"role": "", "content": ""}\'', "role must be 1 to 64 bytes"),
    ],
)
def test_a_broken_item_is_told_and_passed_by(
    target: SessionStore, told: Told, data: str, reason: str, tmp_path: Path
) -> None:
    """By its ``id`` and why; the others are numbered as if it were not there."""
    file = agents(tmp_path / "agents.db", {"ann": [HELLO, HELLO, HI]})
    with writing(file) as db:
        db.execute(f"UPDATE agent_messages SET message_data = {data} WHERE id = 2")  # noqa: S608 - as SQL writes it

    assert told.by(import_openai_agents)(target, file) == ImportResult(3, 2, 0, 1, 1)
    assert [(broken.file, broken.line) for broken in told.broken] == [(str(file), 2)]
    assert reason in told.broken[0].reason
    assert [stored.seq for stored in target.history("ann")] == [1, 2]


@only_sqlite
def test_either_table_makes_a_session(target: SessionStore, told: Told, tmp_path: Path) -> None:
    """One without items, and one whose row is gone, whose times are those of its items."""
    file = agents(tmp_path / "agents.db", {"ann": [HELLO, HELLO, HELLO], "bo": []})
    with writing(file) as db:
        db.execute("DELETE FROM agent_sessions WHERE session_id = 'ann'")
        db.execute("UPDATE agent_messages SET created_at = ? WHERE id = 2", [LATER])
        db.execute("UPDATE agent_messages SET created_at = 'soon' WHERE id = 3")

    assert told.by(import_openai_agents)(target, file) == ImportResult(3, 3, 0, 0, 2, 0, 1)
    found = target.get_session_metadata("ann")
    assert found is not None
    assert (found.created_at, found.last_activity) == (AT, datetime.fromisoformat(f"{LATER}+00:00"))
    assert [mended.line for mended in told.mended] == [3]


@only_sqlite
def test_another_file_is_refused(target: SessionStore, tmp_path: Path) -> None:
    """With its name and what is wrong."""
    (tmp_path / "notes.txt").write_text("Hello")
    with writing(tmp_path / "half.db") as db:
        db.execute("CREATE TABLE agent_messages (id INTEGER, session_id TEXT, message_data TEXT)")
    with writing(tmp_path / "bare.db") as db:
        db.execute("CREATE TABLE agent_messages (id INTEGER)")

    for name, reason in {
        "notes.txt": "notes.txt' is not a SQLite database",
        "half.db": "half.db' has no table 'agent_sessions'",
        "bare.db": "bare.db' has no column message_data, session_id in its table 'agent_messages'",
    }.items():
        with pytest.raises(InvalidQuery, match=reason):
            import_openai_agents(target, tmp_path / name)
    with pytest.raises(OSError, match="gone"):
        import_openai_agents(target, tmp_path / "gone")
    with pytest.raises(OSError, match=tmp_path.name):
        import_openai_agents(target, tmp_path)
    (tmp_path / "cut.db").write_bytes(agents(tmp_path / "agents.db", {"ann": [HELLO]}).read_bytes()[:4096])
    with pytest.raises(StoreError, match=r"cut.db' cannot be read: .*malformed"):
        import_openai_agents(target, tmp_path / "cut.db")


def test_the_file_is_recognised(tmp_path: Path) -> None:
    """By its tables, whatever it is called."""
    (tmp_path / "notes.txt").write_text("Hello")
    with writing(tmp_path / "other.db") as db:
        db.execute("CREATE TABLE agent_messages (id INTEGER)")

    assert is_openai_agents(agents(tmp_path / "a", {}))
    assert [name for name in ("notes.txt", "other.db", ".") if is_openai_agents(tmp_path / name)] == []


# Whatever is said.

NUMBERS = count()
TEXTS = st.text(st.characters(exclude_categories=()), max_size=10)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | st.just(math.nan) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
PARTS = st.fixed_dictionaries({}, optional=dict.fromkeys(["type", "text", "refusal", "logs", "stdout"], TEXTS | JSON))
FIELDS = {
    "type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning", "mcp_call"]) | JSON,
    "role": st.sampled_from(["user", "assistant", "developer", "tool"]) | TEXTS | JSON,
    **dict.fromkeys(["content", "summary", "output", "text"], TEXTS | st.lists(PARTS | JSON, max_size=3) | JSON),
    **dict.fromkeys(["name", "call_id", "id", "arguments", "status"], TEXTS | JSON),
}
ITEMS = st.fixed_dictionaries({}, optional=FIELDS) | JSON


def as_it_was(item: Any) -> Any:
    """An item without what adds nothing to it."""
    return {"role": item["role"], "content": item["content"]} if item.keys() == {"type", "role", "content"} else item


@only_sqlite
@examples(50)
@given(items=st.lists(ITEMS, max_size=8))
def test_every_item_is_taken_or_told(target: SessionStore, items: list[Any], tmp_path: Path) -> None:
    """None raises; what was taken says all that the item said, and the others are told by their ``id``."""
    key, told = f"session{next(NUMBERS)}", Told()
    file = agents(tmp_path / f"{key}.db", {key: items})
    said = told.by(import_openai_agents)(target, file)
    broken = {line.line for line in told.broken}

    assert said == ImportResult(len(items), len(items) - len(broken), 0, len(broken), 1)
    taken = [json.loads(json.dumps(item)) for number, item in enumerate(items, 1) if number not in broken]
    for item, message in zip(taken, target.load(key), strict=True):
        assert item_of(message) in (item, as_it_was(item))
    for number in broken:
        assert is_odd(items[number - 1])


def is_odd(item: Any) -> bool:
    """Whether an item cannot be a message: it is no object, has no JSON number in it, or a role that cannot be one."""
    if not isinstance(item, dict) or any(word in json.dumps(item) for word in ("NaN", "Infinity")):
        return True
    role = item.get("role")
    return isinstance(role, str) and (
        not 1 <= len(role.encode(errors="surrogatepass")) <= 64
        or "\0" in role
        or any("\ud800" <= c <= "\udfff" for c in role)
    )
