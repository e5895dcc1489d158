"""The stable views for analytics, the same on both databases; docs/query.md explains their columns.

They do not change after a release: changes get views with new names, ``session_store_v2_...``. A revision that rebuilds
one of our tables must drop the views first and create them again, because a table that a view reads cannot be dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES: Final = tuple(f"session_store_v1_{name}" for name in ("sessions", "messages", "tool_calls", "turns", "daily"))
"""The views, in the order in which they depend on each other."""

MOST: Final = 2**53
"""Greater numbers are ignored: beyond this, the databases disagree on which numbers are integers."""


DAY_INDEXES: Final = (
    ("session_store_messages_day", "session_store_messages", "created_at"),
    ("session_store_states_day", "session_store_states", "entered_at"),
)


def create(dialect: str) -> Iterator[str]:
    """Yield the SQL that creates the views, and on PostgreSQL the indexes by day."""
    yield from statements(dialect).values()


def statements(dialect: str) -> dict[str, str]:
    """Return the SQL that creates each view, and on PostgreSQL each index by day, by name."""
    db = SqliteViews if dialect == "sqlite" else PostgresqlViews
    views = {name: f"CREATE VIEW {name} AS {select}" for name, select in zip(NAMES, selects(db), strict=True)}
    if db is PostgresqlViews:
        # As small as an index of the time, and as cheap for appends; a condition on a day cannot use an index of the
        # time.
        for name, table, time in DAY_INDEXES:
            views[name] = f"CREATE INDEX {name} ON {table} USING brin (({db.day(time)}))"
    return views


def drop(dialect: str) -> Iterator[str]:
    """Yield the SQL that drops the views and indexes."""
    for name in reversed(NAMES):
        yield f"DROP VIEW {name}"
    if dialect != "sqlite":
        for name, _, _ in DAY_INDEXES:
            yield f"DROP INDEX {name}"


class SqliteViews:
    """The SQL of the views on SQLite."""

    sub = "char(26)"
    calls = """json_each(
        CASE WHEN json_type(m.payload, '$.tool_calls') = 'array' THEN m.payload END, '$.tool_calls'
    ) AS call ON call.type = 'object' AND json_type(call.value, '$.name') = 'text'"""
    position = "call.key + 1"
    name = "json_extract(call.value, '$.name')"
    names = f"group_concat({name}, ',')"
    next_state = """session_store_states AS n ON n.session_key = s.session_key AND n.seq = (
        SELECT min(l.seq) FROM session_store_states AS l WHERE l.session_key = s.session_key AND l.seq > s.seq
    )"""

    @staticmethod
    def day(time: str) -> str:
        """Return the day of a time."""
        return f"substr({time}, 1, 10)"

    @staticmethod
    def seconds(start: str, end: str) -> str:
        """Return the seconds between two times; SQLite's functions have only milliseconds."""
        whole = f"strftime('%s', substr({end}, 1, 19)) - strftime('%s', substr({start}, 1, 19))"
        rest = f"substr({end}, 21, 6) - substr({start}, 21, 6)"
        return f"((({whole}) * 1000000 + ({rest})) / 1000000.0)"

    @staticmethod
    def text_at(path: str) -> str:
        """Return a string of the payload."""
        at = f"m.payload, '$.{path}'"
        return f"CASE WHEN json_type({at}) = 'text' THEN json_extract({at}) END"

    @staticmethod
    def number_at(path: str, kind: str) -> str:
        """Return a number of the payload that is not negative, for bigint an integer."""
        at = f"m.payload, '$.{path}'"
        number = f"json_extract({at})"
        return f"""CASE WHEN json_type({at}) IN ('integer', 'real')
            AND {number} BETWEEN 0 AND {MOST} AND {number} = CAST({number} AS {kind})
            THEN CAST({number} AS {kind}) END"""


class PostgresqlViews:
    """The SQL of the views on PostgreSQL."""

    sub = "chr(26)"
    calls = """LATERAL jsonb_array_elements(
        CASE WHEN jsonb_typeof(m.payload -> 'tool_calls') = 'array' THEN m.payload -> 'tool_calls' END
    ) WITH ORDINALITY AS call (value, position) ON jsonb_typeof(call.value -> 'name') = 'string'"""
    position = "call.position"
    name = "call.value ->> 'name'"
    names = f"string_agg({name}, ',' ORDER BY call.position)"
    next_state = """LATERAL (
        SELECT l.entered_at, l.state FROM session_store_states AS l
        WHERE l.session_key = s.session_key AND l.seq > s.seq ORDER BY l.seq LIMIT 1
    ) AS n ON true"""

    @staticmethod
    def day(time: str) -> str:
        """Return the day of a time."""
        return f"CAST({time} AT TIME ZONE 'UTC' AS date)"

    @staticmethod
    def seconds(start: str, end: str) -> str:
        """Return the seconds between two times."""
        return f"CAST(extract(epoch FROM {end} - {start}) AS double precision)"

    @staticmethod
    def text_at(path: str) -> str:
        """Return a string of the payload."""
        return f"CASE WHEN jsonb_typeof(m.payload -> '{path}') = 'string' THEN m.payload ->> '{path}' END"

    @staticmethod
    def number_at(path: str, kind: str) -> str:
        """Return a number of the payload that is not negative, for bigint an integer."""
        # One call finds and checks: extracting it for each comparison costs a third more.
        whole = " && @.floor() == @" if kind == "bigint" else ""
        return f"""CAST(jsonb_path_query_first(
            m.payload, 'strict $.{path} ? (@ >= 0 && @ <= {MOST}{whole})', '{{}}', true
        ) AS {kind})"""


def selects(db: type[SqliteViews | PostgresqlViews]) -> tuple[str, str, str, str, str]:
    """Return the SELECT of each view."""

    def tokens(name: str, alias: str) -> str:
        return f"coalesce({db.number_at(f'usage.{name}', 'bigint')}, {db.number_at(f'usage.{alias}', 'bigint')})"

    def in_turn(figure: str) -> str:
        its_messages = f"""
            SELECT CAST(coalesce({figure}, 0) AS bigint) FROM session_store_v1_messages AS m
            WHERE m.session_key = s.session_key"""
        its_intervals = """
            SELECT 1 FROM session_store_states AS o
            WHERE o.session_key = s.session_key AND o.turn_id = s.turn_id AND o.state = 'running'"""
        # A message belongs to one interval of its turn, even if clocks differ: the last that had begun, or the first.
        return f"""CASE WHEN s.turn_id IS NULL THEN (
            {its_messages} AND m.turn_id IS NULL AND m.created_at >= s.entered_at
                AND (n.entered_at IS NULL OR m.created_at < n.entered_at)
        ) ELSE (
            {its_messages} AND m.turn_id = s.turn_id
                AND (m.created_at >= s.entered_at OR NOT EXISTS ({its_intervals} AND o.seq < s.seq))
                AND NOT EXISTS ({its_intervals} AND o.seq > s.seq AND o.entered_at <= m.created_at)
        ) END"""

    def percentile(hundredths: int) -> str:
        # Linear interpolation, without a percent sign, which drivers would take for a parameter.
        place = f"(ended - 1) * {hundredths}"
        first = f"1 + {place} / 100"
        low, high = (
            f"max(CASE WHEN place = {number} THEN seconds END) OVER its_day" for number in (first, f"1 + {first}")
        )
        between = f"({place} - {place} / 100 * 100) / CAST(100 AS double precision)"
        return f"{low} + {between} * (coalesce({high}, {low}) - {low})"

    def part_of_a_day(**figures: str) -> str:
        columns = [f"{figures.get(count, '0')} AS {count}" for count in counts]
        columns += [f"CAST({figures.get(name, 'NULL')} AS double precision) AS {name}" for name in durations]
        return f"SELECT day, {', '.join(columns)}"

    def messages_of_a_day() -> str:
        source = "session_store_v1_messages"
        if db is SqliteViews:
            figures = part_of_a_day(sessions_active="count(DISTINCT session_key)", **spoken)
            return f"{figures} FROM {source} GROUP BY day"
        # Grouped by session first, which PostgreSQL does without sorting, in half the time.
        columns = ", ".join(f"{figure} AS {name}" for name, figure in spoken.items())
        figures = part_of_a_day(sessions_active="count(*)", **{name: f"sum({name})" for name in spoken})
        of_a_session = f"SELECT day, session_key, {columns} FROM {source} GROUP BY day, session_key"
        return f"{figures} FROM ({of_a_session}) AS spoken GROUP BY day"

    usual = ("user", "assistant", "system", "tool")
    spoken = {"messages": "count(*)"}
    spoken |= {f"messages_{role}": f"sum(CASE WHEN role = '{role}' THEN 1 ELSE 0 END)" for role in usual}
    spoken["messages_other"] = f"sum(CASE WHEN role IN ({', '.join(map(repr, usual))}) THEN 0 ELSE 1 END)"
    counts = ["sessions_active", "sessions_new", *spoken, "turns", "errors"]
    durations = {"turn_seconds_median": percentile(50), "turn_seconds_p95": percentile(95)}
    return (
        f"""
            SELECT key AS session_key, name, owner, attributes, created_at, last_activity,
                {db.seconds("created_at", "last_activity")} AS seconds,
                message_count, state, turn_id, state_entered_at
            FROM session_store_sessions
        """,
        f"""
            SELECT m.session_key, m.seq, m.created_at, {db.day("m.created_at")} AS day, m.role, m.turn_id, m.content,
                CAST(
                    length(m.content) - 3 * (length(m.content) - length(replace(m.content, {db.sub}, ''))) AS bigint
                ) AS characters,
                (SELECT count(*) FROM (SELECT 1) AS one JOIN {db.calls}) AS tool_calls,
                (SELECT {db.names} FROM (SELECT 1) AS one JOIN {db.calls}) AS tool_names,
                {db.text_at("tool_call_id")} AS tool_call_id,
                {db.text_at("model")} AS model,
                {tokens("input_tokens", "prompt_tokens")} AS input_tokens,
                {tokens("output_tokens", "completion_tokens")} AS output_tokens,
                {db.number_at("latency_ms", "double precision")} AS latency_ms
            FROM session_store_messages AS m
        """,
        f"""
            SELECT m.session_key, m.seq, {db.position} AS position, m.created_at, {db.day("m.created_at")} AS day,
                m.turn_id, {db.name} AS name
            FROM session_store_messages AS m JOIN {db.calls}
        """,
        f"""
            SELECT s.session_key, s.seq, s.turn_id, s.entered_at AS started_at, {db.day("s.entered_at")} AS day,
                n.entered_at AS ended_at, {db.seconds("s.entered_at", "n.entered_at")} AS seconds, n.state AS outcome,
                {in_turn("count(*)")} AS messages,
                {in_turn("sum(m.input_tokens)")} AS input_tokens,
                {in_turn("sum(m.output_tokens)")} AS output_tokens
            FROM session_store_states AS s LEFT JOIN {db.next_state}
            WHERE s.state = 'running'
        """,
        # Window functions instead of GROUP BY: only through them SQLite pushes a condition on the day down.
        f"""
            SELECT day, {", ".join([*counts, *durations])}
            FROM (
                SELECT day, {", ".join(f"CAST(sum({count}) OVER its_day AS bigint) AS {count}" for count in counts)},
                    {", ".join(f"max({name}) OVER its_day AS {name}" for name in durations)},
                    row_number() OVER its_day AS number
                FROM (
                    {messages_of_a_day()}
                    UNION ALL
                    {part_of_a_day(sessions_new="count(*)")}
                    FROM (SELECT {db.day("created_at")} AS day FROM session_store_sessions) AS born GROUP BY day
                    UNION ALL
                    {part_of_a_day(turns="turns", errors="errors", **{name: name for name in durations})}
                    FROM (
                        SELECT day, count(*) OVER its_day AS turns,
                            sum(CASE WHEN outcome = 'error' THEN 1 ELSE 0 END) OVER its_day AS errors,
                            {", ".join(f"{its} AS {name}" for name, its in durations.items())},
                            row_number() OVER its_day AS number
                        FROM (
                            SELECT day, outcome, seconds, count(seconds) OVER (PARTITION BY day) AS ended,
                                row_number() OVER (PARTITION BY day ORDER BY seconds NULLS LAST) AS place
                            FROM session_store_v1_turns
                        ) AS ranked WINDOW its_day AS (PARTITION BY day)
                    ) AS taken WHERE number = 1
                ) AS figures WINDOW its_day AS (PARTITION BY day)
            ) AS days WHERE number = 1
        """,
    )
