"""What is drawn for every parameter: strategies that mix good values with junk, each with what of it is allowed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from hypothesis import strategies as st

from session_store import ChatMessage, InvalidKey, InvalidMessage, InvalidQuery, NewMessage, SessionQuery, StoreError
from session_store.interface.values import ANY_TURN
from tests.fuzz.allowed import (
    Allows,
    all_of,
    is_age,
    is_attributes,
    is_cursor,
    is_identifier,
    is_message,
    is_order,
    is_several,
    is_text,
    is_time,
    is_wanted,
    is_whole,
    is_word,
    opt,
    plain,
)
from tests.fuzz.hostile import (
    ATTRIBUTES,
    BROKEN_CURSORS,
    CURSORS,
    GOOD_JSON,
    GOOD_TIMES,
    HARD_TEXTS,
    HARD_WORDS,
    HIT_CURSORS,
    JUNK,
    KEYS,
    MOST,
    NO_ATTRIBUTES,
    NO_JSON,
    NOW,
    NUMBERS,
    ONCE,
    PARTS,
    ROLES,
    SCALARS,
    SIZED_TEXTS,
    STATES,
    TIMES,
    TURNS,
    WANTED,
    WORDS,
    ZONES,
    Named,
    OwnError,
    OwnOSError,
    Stream,
    encoded,
)

any_text = st.text(st.characters(exclude_categories=()), max_size=12)
any_json = st.recursive(
    st.sampled_from(SCALARS) | st.floats() | st.integers() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=5,
)

Values = st.SearchStrategy[Any]


def mixed(usual: Sequence[Any], seldom: Sequence[Any], made: Values | None = None) -> Values:
    """Mostly a usual value: a call of which all is junk is refused for the first of it.

    ``made`` gives some more that are new. One number is drawn: drawing takes longer than most calls.
    """
    shares = [(usual, 45), (seldom, 43), (JUNK, 8)]
    rounds = max(-(-len(values) // share) for values, share in shares)
    pool = [values[number % len(values)] for values, share in shares for number in range(rounds * share)]

    @st.composite
    def values(draw: st.DrawFn) -> Any:
        number = draw(st.integers(0, len(pool) - 1 + 4 * rounds * (made is not None)))
        return pool[number] if number < len(pool) or made is None else draw(made)

    return values()


@dataclass(frozen=True)
class Argument:
    """What is drawn for a parameter, what is allowed, how the rest is refused, and words one of which says of what."""

    values: Values
    allows: Allows
    errors: frozenset[type[StoreError]]
    words: tuple[str, ...]


def argument(
    usual: Sequence[Any],
    seldom: Sequence[Any],
    allows: Allows,
    *words: str,
    error: type[StoreError] = InvalidQuery,
    made: Values | None = None,
) -> Argument:
    """An argument that is refused by one error."""
    return Argument(mixed(usual, seldom, made), allows, frozenset([error]), words)


def optional(it: Argument) -> Argument:
    """The same, or None."""
    return Argument(st.none() | it.values, opt(it.allows), it.errors, it.words)


def identifier(*usual: str, what: str, allows: Allows = is_identifier) -> Argument:
    """An identifier, mostly one that is there."""
    return argument(usual, (*HARD_TEXTS, *SIZED_TEXTS), allows, what, error=InvalidKey, made=any_text)


def number(*usual: int, what: str, least: int = 0, most: int = MOST) -> Argument:
    """A whole number of this range."""
    return argument(usual, NUMBERS, lambda it: is_whole(it, least, most), what, made=st.integers())


def age(what: str) -> Argument:
    """An age in whatever unit."""
    return argument((0, 0.5, 1, 2, 1e6), NUMBERS, is_age, what, made=st.floats())


def time(what: str, error: type[StoreError] = InvalidQuery) -> Argument:
    """An aware time."""
    made = st.datetimes(timezones=st.sampled_from([*ZONES[:8], None]))
    return argument(GOOD_TIMES, TIMES, is_time, what, error=error, made=made)


def cursor(known: frozenset[str]) -> Argument:
    """Where a list goes on; one of another kind of list is like any text."""
    parts = st.lists(st.sampled_from(PARTS), min_size=1, max_size=4)
    made = parts.map(lambda some: encoded(f"[{','.join(some)}]"))
    others = (*BROKEN_CURSORS, *sorted((CURSORS | HIT_CURSORS) - known)[:20], *map(encoded, DAMAGED))
    return argument(sorted(known), others, lambda it: is_cursor(it, known), "after", made=made)


PLACE: Final = ('"2026-01-05T12:00:00+00:00"', "0.5", '"telegram_ann"', "1")
DAMAGED: Final = tuple(
    f"[{','.join((*whole[:position], part, *whole[position + 1 :]))}]"
    for whole in (PLACE, PLACE[::2])
    for position in range(len(whole))
    for part in PARTS
)
"""Cursors of both kinds with another part in one place."""

flag = Argument(st.sampled_from([False, True, 0, 1, None, "", "yes", [], 0.0]), lambda _: True, frozenset(), ())
"""Taken by its truth, like any flag in Python."""

keyword = argument(WORDS, (*HARD_WORDS, *HARD_TEXTS, *SIZED_TEXTS), is_text, "keyword", made=any_text)
name = argument(
    ("Ann", "", "Porto"), (*HARD_TEXTS, *SIZED_TEXTS), lambda it: is_text(it) and len(it) <= 1024, "name", made=any_text
)
attributes = argument(
    ATTRIBUTES, NO_ATTRIBUTES, is_attributes, "attribute", made=st.dictionaries(any_text, any_json, max_size=3)
)
wanted = argument(WANTED, NO_ATTRIBUTES, is_wanted, "attribute")
owner = identifier("ann", "bo", "x" * 512, what="owner")
state = identifier(*STATES, what="state", allows=is_word)
once = identifier(*ONCE, "x" * 512, what="idempotency_key")
role = identifier(*ROLES, what="role", allows=is_word)
key = identifier(*KEYS, what="key")
created_at = time("created_at", InvalidMessage)

CHATS: Final = (
    ChatMessage.user("hello", {"a": 1}), ChatMessage.user("hello"), ChatMessage.user("same"),
    ChatMessage.assistant("hi"), *(ChatMessage(role, "umbrella Porto", [1]) for role in ROLES),
)  # fmt: skip
HARD_CHATS: Final = (
    *(ChatMessage(role, "hello") for role in (*HARD_TEXTS, *SIZED_TEXTS, *JUNK)),
    *(ChatMessage("user", content) for content in (*HARD_TEXTS, *SIZED_TEXTS, *HARD_WORDS, *JUNK)),
    *(ChatMessage("tool", "hello", payload) for payload in (*GOOD_JSON, *NO_JSON, *JUNK)),
)  # fmt: skip
message = Argument(
    mixed(CHATS, HARD_CHATS, st.builds(ChatMessage, role.values, any_text, any_json)),
    is_message,
    frozenset([InvalidMessage]),
    ("message", "role", "content", "payload"),
)
_each = mixed(
    (*CHATS, *(NewMessage(CHATS[0], None, once) for once in ONCE), NewMessage(CHATS[2], GOOD_TIMES[0], "x" * 512)),
    (
        *HARD_CHATS,
        *(NewMessage(CHATS[0], time) for time in TIMES),
        *(NewMessage(CHATS[1], None, text) for text in (*HARD_TEXTS, *SIZED_TEXTS, *JUNK)),
        *(NewMessage(some, NOW, "new") for some in (*HARD_CHATS, *JUNK)),
    ),
)
_items = st.lists(_each, max_size=4)
messages = Argument(
    st.one_of(
        _items,
        _items.map(tuple),
        _items.map(Stream),
        st.builds(Stream, _items, st.sampled_from([OwnError("no more"), OwnOSError("no more")])),
        st.sampled_from(JUNK),
    ),
    is_several,
    frozenset([InvalidMessage, InvalidKey]),
    (*message.words, "created_at", "idempotency_key"),
)

QUERY_FIELDS: Final[Mapping[str, Argument]] = {
    "keyword": optional(keyword),
    "limit": optional(number(0, 1, 2, 100, what="limit")),
    "after": optional(cursor(CURSORS)),
    "owner": optional(owner),
    "state": optional(state),
    "attributes": optional(wanted),
    "active_since": optional(time("active_since")),
    "active_before": optional(time("active_before")),
}


def is_query(value: Any) -> bool | None:
    """A `SessionQuery` of which every field is allowed."""
    return isinstance(value, SessionQuery) and all_of(
        QUERY_FIELDS[field.name].allows(getattr(value, field.name)) for field in fields(SessionQuery)
    )


@st.composite
def queries(draw: st.DrawFn) -> Any:
    """One to three conditions, or junk."""
    names = [draw(st.sampled_from(sorted(QUERY_FIELDS))) for _ in range(draw(st.integers(0, 3)))]
    return (
        SessionQuery(**{name: draw(QUERY_FIELDS[name].values) for name in names}) if names else draw(mixed(JUNK, JUNK))
    )


query = Argument(queries(), is_query, frozenset([InvalidQuery, InvalidKey]), ("query", "attribute", *QUERY_FIELDS))

ARGUMENTS: Final[Mapping[tuple[str, str], Argument]] = {
    ("key", "str"): key,
    ("key", "str | None"): optional(key),
    ("name", "str"): name,
    ("name", "str | None"): optional(name),
    ("owner", "str"): owner,
    ("owner", "str | None"): optional(owner),
    ("attributes", "Mapping[str, Any]"): attributes,
    ("attributes", "Mapping[str, Any] | None"): optional(attributes),
    ("query", "SessionQuery"): query,
    ("query", "SessionQuery | None"): optional(query),
    ("batch_size", "int"): number(1, 2, 500, 10_000, what="batch_size", least=1, most=10_000),
    ("batch", "int"): number(1, 2, 500, 10_000, what="batch", least=1, most=10_000),
    ("ttl_hours", "float"): age("ttl_hours"),
    ("within_secs", "float"): age("within_secs"),
    ("threshold_secs", "float"): age("threshold_secs"),
    ("dry_run", "bool"): flag,
    ("on_batch", "Callable[[int], object] | None"): argument(
        (None, abs, bool), (3, "told", {}), lambda it: it is None or callable(it), "on_batch"
    ),
    ("include_running", "bool"): flag,
    ("message", "ChatMessage"): message,
    ("messages", "Iterable[ChatMessage | NewMessage]"): messages,
    ("created_at", "datetime | None"): optional(created_at),
    ("idempotency_key", "str | None"): optional(once),
    ("last", "int | None"): optional(number(0, 1, 2, what="last")),
    ("keep_last", "int | None"): optional(number(0, 1, 2, what="keep_last")),
    ("before", "datetime | None"): optional(time("before")),
    ("before", "datetime"): time("before"),
    ("seq", "int | None"): optional(number(0, 1, 2, 3, 4, what="seq")),
    ("after_seq", "int | None"): optional(number(0, 1, 2, what="after_seq")),
    ("after_seq", "int"): number(0, 1, 2, what="after_seq"),
    ("before_seq", "int | None"): optional(number(0, 1, 2, what="before_seq")),
    ("limit", "int | None"): optional(number(0, 1, 2, what="limit")),
    ("limit", "int"): number(0, 1, 2, what="limit"),
    ("keyword", "str"): keyword,
    ("role", "str | None"): optional(role),
    ("since", "datetime | None"): optional(time("since")),
    ("until", "datetime | None"): optional(time("until")),
    ("after", "str | None"): optional(cursor(HIT_CURSORS)),
    ("order", "str"): argument(("recency", "relevance", Named.ORDER), HARD_TEXTS, is_order, "order", made=any_text),
    ("state", "str"): state,
    ("turn_id", "str | None"): optional(identifier(*TURNS, what="turn_id")),
    ("if_turn", "str | AnyTurn | None"): Argument(
        mixed((ANY_TURN, None, *TURNS), (*HARD_TEXTS, *SIZED_TEXTS), any_text),
        lambda it: it is ANY_TURN or opt(is_identifier)(it),
        frozenset([InvalidKey]),
        ("if_turn",),
    ),
    ("to", "str"): Argument(
        state.values,
        lambda it: is_word(it) and plain(it) != "running",
        frozenset([InvalidKey, InvalidQuery]),
        ("state",),
    ),
}
"""By the name of a parameter and its annotation: a new one needs a line here."""
