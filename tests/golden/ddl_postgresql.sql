CREATE TABLE session_store_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT session_store_alembic_version_pkc PRIMARY KEY (version_num)
)

CREATE TABLE session_store_sessions (
	key TEXT COLLATE "C" NOT NULL, 
	name TEXT, 
	owner TEXT, 
	attributes JSONB DEFAULT '{}' NOT NULL, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	last_activity TIMESTAMP WITH TIME ZONE NOT NULL, 
	active_minute TIMESTAMP WITH TIME ZONE NOT NULL, 
	message_count BIGINT DEFAULT 0 NOT NULL, 
	last_seq BIGINT DEFAULT 0 NOT NULL, 
	state_seq BIGINT DEFAULT 0 NOT NULL, 
	state TEXT DEFAULT 'idle' NOT NULL, 
	turn_id TEXT, 
	state_entered_at TIMESTAMP WITH TIME ZONE, 
	CONSTRAINT session_store_sessions_pkey PRIMARY KEY (key)
)
CREATE INDEX session_store_sessions_recency ON session_store_sessions (active_minute DESC, key)
CREATE INDEX session_store_sessions_owner_recency ON session_store_sessions (owner, active_minute DESC, key) WHERE owner IS NOT NULL
CREATE INDEX session_store_sessions_state ON session_store_sessions (state, state_entered_at) WHERE state <> 'idle'

CREATE TABLE session_store_messages (
	session_key TEXT COLLATE "C" NOT NULL, 
	seq BIGINT NOT NULL, 
	turn_id TEXT, 
	role TEXT NOT NULL, 
	content TEXT NOT NULL, 
	payload JSONB, 
	idempotency_key TEXT, 
	created_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	CONSTRAINT session_store_messages_pkey PRIMARY KEY (session_key, seq), 
	CONSTRAINT session_store_messages_session_key_fkey FOREIGN KEY(session_key) REFERENCES session_store_sessions (key) ON DELETE CASCADE
)
CREATE UNIQUE INDEX session_store_messages_idempotency ON session_store_messages (session_key, idempotency_key) WHERE idempotency_key IS NOT NULL

CREATE TABLE session_store_states (
	session_key TEXT COLLATE "C" NOT NULL, 
	seq BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	turn_id TEXT, 
	entered_at TIMESTAMP WITH TIME ZONE NOT NULL, 
	CONSTRAINT session_store_states_pkey PRIMARY KEY (session_key, seq), 
	CONSTRAINT session_store_states_session_key_fkey FOREIGN KEY(session_key) REFERENCES session_store_sessions (key) ON DELETE CASCADE
)
ALTER TABLE session_store_sessions SET (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01)
CREATE INDEX session_store_sessions_attributes ON session_store_sessions USING gin (attributes jsonb_path_ops)
CREATE INDEX session_store_messages_created_at ON session_store_messages USING brin (created_at)
CREATE INDEX session_store_states_entered_at ON session_store_states USING brin (entered_at)
INSERT INTO session_store_alembic_version (version_num) VALUES ('ss_0001') RETURNING session_store_alembic_version.version_num
CREATE INDEX session_store_messages_search ON session_store_messages USING gin ((to_tsvector('simple', regexp_replace(replace(left(content, 200000), chr(962), chr(963)), '[\x01-\x2f\x3a-\x40\x5b-\x60\x7b-\x7f\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\u24b6-\u24e9\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U00013438\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U0001f130-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189\U000e0001\U000e0020-\U000e007f]+', ' ', 'g')))) WITH (gin_pending_list_limit = 1024)
UPDATE session_store_alembic_version SET version_num='ss_0002' WHERE session_store_alembic_version.version_num = 'ss_0001'
CREATE VIEW session_store_v1_sessions AS 
            SELECT key AS session_key, name, owner, attributes, created_at, last_activity,
                CAST(extract(epoch FROM last_activity - created_at) AS double precision) AS seconds,
                message_count, state, turn_id, state_entered_at
            FROM session_store_sessions
CREATE VIEW session_store_v1_messages AS 
            SELECT m.session_key, m.seq, m.created_at, CAST(m.created_at AT TIME ZONE 'UTC' AS date) AS day, m.role, m.turn_id, m.content,
                CAST(
                    length(m.content) - 3 * (length(m.content) - length(replace(m.content, chr(26), ''))) AS bigint
                ) AS characters,
                (SELECT count(*) FROM (SELECT 1) AS one JOIN LATERAL jsonb_array_elements(
        CASE WHEN jsonb_typeof(m.payload -> 'tool_calls') = 'array' THEN m.payload -> 'tool_calls' END
    ) WITH ORDINALITY AS call (value, position) ON jsonb_typeof(call.value -> 'name') = 'string') AS tool_calls,
                (SELECT string_agg(call.value ->> 'name', ',' ORDER BY call.position) FROM (SELECT 1) AS one JOIN LATERAL jsonb_array_elements(
        CASE WHEN jsonb_typeof(m.payload -> 'tool_calls') = 'array' THEN m.payload -> 'tool_calls' END
    ) WITH ORDINALITY AS call (value, position) ON jsonb_typeof(call.value -> 'name') = 'string') AS tool_names,
                CASE WHEN jsonb_typeof(m.payload -> 'tool_call_id') = 'string' THEN m.payload ->> 'tool_call_id' END AS tool_call_id,
                CASE WHEN jsonb_typeof(m.payload -> 'model') = 'string' THEN m.payload ->> 'model' END AS model,
                coalesce(CAST(jsonb_path_query_first(
            m.payload, 'strict $.usage.input_tokens ? (@ >= 0 && @ <= 9007199254740992 && @.floor() == @)', '{}', true
        ) AS bigint), CAST(jsonb_path_query_first(
            m.payload, 'strict $.usage.prompt_tokens ? (@ >= 0 && @ <= 9007199254740992 && @.floor() == @)', '{}', true
        ) AS bigint)) AS input_tokens,
                coalesce(CAST(jsonb_path_query_first(
            m.payload, 'strict $.usage.output_tokens ? (@ >= 0 && @ <= 9007199254740992 && @.floor() == @)', '{}', true
        ) AS bigint), CAST(jsonb_path_query_first(
            m.payload, 'strict $.usage.completion_tokens ? (@ >= 0 && @ <= 9007199254740992 && @.floor() == @)', '{}', true
        ) AS bigint)) AS output_tokens,
                CAST(jsonb_path_query_first(
            m.payload, 'strict $.latency_ms ? (@ >= 0 && @ <= 9007199254740992)', '{}', true
        ) AS double precision) AS latency_ms
            FROM session_store_messages AS m
CREATE VIEW session_store_v1_tool_calls AS 
            SELECT m.session_key, m.seq, call.position AS position, m.created_at, CAST(m.created_at AT TIME ZONE 'UTC' AS date) AS day,
                m.turn_id, call.value ->> 'name' AS name
            FROM session_store_messages AS m JOIN LATERAL jsonb_array_elements(
        CASE WHEN jsonb_typeof(m.payload -> 'tool_calls') = 'array' THEN m.payload -> 'tool_calls' END
    ) WITH ORDINALITY AS call (value, position) ON jsonb_typeof(call.value -> 'name') = 'string'
CREATE VIEW session_store_v1_turns AS 
            SELECT s.session_key, s.seq, s.turn_id, s.entered_at AS started_at, CAST(s.entered_at AT TIME ZONE 'UTC' AS date) AS day,
                n.entered_at AS ended_at, CAST(extract(epoch FROM n.entered_at - s.entered_at) AS double precision) AS seconds, n.state AS outcome,
                CASE WHEN s.turn_id IS NULL THEN (
            
            SELECT CAST(coalesce(count(*), 0) AS bigint) FROM session_store_v1_messages AS m
            WHERE m.session_key = s.session_key AND m.turn_id IS NULL AND m.created_at >= s.entered_at
                AND (n.entered_at IS NULL OR m.created_at < n.entered_at)
        ) ELSE (
            
            SELECT CAST(coalesce(count(*), 0) AS bigint) FROM session_store_v1_messages AS m
            WHERE m.session_key = s.session_key AND m.turn_id = s.turn_id
                AND (m.created_at >= s.entered_at OR NOT EXISTS (
            SELECT 1 FROM session_store_states AS o
            WHERE o.session_key = s.session_key AND o.turn_id = s.turn_id AND o.state = 'running' AND o.seq < s.seq))
                AND NOT EXISTS (
            SELECT 1 FROM session_store_states AS o
            WHERE o.session_key = s.session_key AND o.turn_id = s.turn_id AND o.state = 'running' AND o.seq > s.seq AND o.entered_at <= m.created_at)
        ) END AS messages,
                CASE WHEN s.turn_id IS NULL THEN (
            
            SELECT CAST(coalesce(sum(m.input_tokens), 0) AS bigint) FROM session_store_v1_messages AS m
            WHERE m.session_key = s.session_key AND m.turn_id IS NULL AND m.created_at >= s.entered_at
                AND (n.entered_at IS NULL OR m.created_at < n.entered_at)
        ) ELSE (
            
            SELECT CAST(coalesce(sum(m.input_tokens), 0) AS bigint) FROM session_store_v1_messages AS m
            WHERE m.session_key = s.session_key AND m.turn_id = s.turn_id
                AND (m.created_at >= s.entered_at OR NOT EXISTS (
            SELECT 1 FROM session_store_states AS o
            WHERE o.session_key = s.session_key AND o.turn_id = s.turn_id AND o.state = 'running' AND o.seq < s.seq))
                AND NOT EXISTS (
            SELECT 1 FROM session_store_states AS o
            WHERE o.session_key = s.session_key AND o.turn_id = s.turn_id AND o.state = 'running' AND o.seq > s.seq AND o.entered_at <= m.created_at)
        ) END AS input_tokens,
                CASE WHEN s.turn_id IS NULL THEN (
            
            SELECT CAST(coalesce(sum(m.output_tokens), 0) AS bigint) FROM session_store_v1_messages AS m
            WHERE m.session_key = s.session_key AND m.turn_id IS NULL AND m.created_at >= s.entered_at
                AND (n.entered_at IS NULL OR m.created_at < n.entered_at)
        ) ELSE (
            
            SELECT CAST(coalesce(sum(m.output_tokens), 0) AS bigint) FROM session_store_v1_messages AS m
            WHERE m.session_key = s.session_key AND m.turn_id = s.turn_id
                AND (m.created_at >= s.entered_at OR NOT EXISTS (
            SELECT 1 FROM session_store_states AS o
            WHERE o.session_key = s.session_key AND o.turn_id = s.turn_id AND o.state = 'running' AND o.seq < s.seq))
                AND NOT EXISTS (
            SELECT 1 FROM session_store_states AS o
            WHERE o.session_key = s.session_key AND o.turn_id = s.turn_id AND o.state = 'running' AND o.seq > s.seq AND o.entered_at <= m.created_at)
        ) END AS output_tokens
            FROM session_store_states AS s LEFT JOIN LATERAL (
        SELECT l.entered_at, l.state FROM session_store_states AS l
        WHERE l.session_key = s.session_key AND l.seq > s.seq ORDER BY l.seq LIMIT 1
    ) AS n ON true
            WHERE s.state = 'running'
CREATE VIEW session_store_v1_daily AS 
            SELECT day, sessions_active, sessions_new, messages, messages_user, messages_assistant, messages_system, messages_tool, messages_other, turns, errors, turn_seconds_median, turn_seconds_p95
            FROM (
                SELECT day, CAST(sum(sessions_active) OVER its_day AS bigint) AS sessions_active, CAST(sum(sessions_new) OVER its_day AS bigint) AS sessions_new, CAST(sum(messages) OVER its_day AS bigint) AS messages, CAST(sum(messages_user) OVER its_day AS bigint) AS messages_user, CAST(sum(messages_assistant) OVER its_day AS bigint) AS messages_assistant, CAST(sum(messages_system) OVER its_day AS bigint) AS messages_system, CAST(sum(messages_tool) OVER its_day AS bigint) AS messages_tool, CAST(sum(messages_other) OVER its_day AS bigint) AS messages_other, CAST(sum(turns) OVER its_day AS bigint) AS turns, CAST(sum(errors) OVER its_day AS bigint) AS errors,
                    max(turn_seconds_median) OVER its_day AS turn_seconds_median, max(turn_seconds_p95) OVER its_day AS turn_seconds_p95,
                    row_number() OVER its_day AS number
                FROM (
                    SELECT day, count(*) AS sessions_active, 0 AS sessions_new, sum(messages) AS messages, sum(messages_user) AS messages_user, sum(messages_assistant) AS messages_assistant, sum(messages_system) AS messages_system, sum(messages_tool) AS messages_tool, sum(messages_other) AS messages_other, 0 AS turns, 0 AS errors, CAST(NULL AS double precision) AS turn_seconds_median, CAST(NULL AS double precision) AS turn_seconds_p95 FROM (SELECT day, session_key, count(*) AS messages, sum(CASE WHEN role = 'user' THEN 1 ELSE 0 END) AS messages_user, sum(CASE WHEN role = 'assistant' THEN 1 ELSE 0 END) AS messages_assistant, sum(CASE WHEN role = 'system' THEN 1 ELSE 0 END) AS messages_system, sum(CASE WHEN role = 'tool' THEN 1 ELSE 0 END) AS messages_tool, sum(CASE WHEN role IN ('user', 'assistant', 'system', 'tool') THEN 0 ELSE 1 END) AS messages_other FROM session_store_v1_messages GROUP BY day, session_key) AS spoken GROUP BY day
                    UNION ALL
                    SELECT day, 0 AS sessions_active, count(*) AS sessions_new, 0 AS messages, 0 AS messages_user, 0 AS messages_assistant, 0 AS messages_system, 0 AS messages_tool, 0 AS messages_other, 0 AS turns, 0 AS errors, CAST(NULL AS double precision) AS turn_seconds_median, CAST(NULL AS double precision) AS turn_seconds_p95
                    FROM (SELECT CAST(created_at AT TIME ZONE 'UTC' AS date) AS day FROM session_store_sessions) AS born GROUP BY day
                    UNION ALL
                    SELECT day, 0 AS sessions_active, 0 AS sessions_new, 0 AS messages, 0 AS messages_user, 0 AS messages_assistant, 0 AS messages_system, 0 AS messages_tool, 0 AS messages_other, turns AS turns, errors AS errors, CAST(turn_seconds_median AS double precision) AS turn_seconds_median, CAST(turn_seconds_p95 AS double precision) AS turn_seconds_p95
                    FROM (
                        SELECT day, count(*) OVER its_day AS turns,
                            sum(CASE WHEN outcome = 'error' THEN 1 ELSE 0 END) OVER its_day AS errors,
                            max(CASE WHEN place = 1 + (ended - 1) * 50 / 100 THEN seconds END) OVER its_day + ((ended - 1) * 50 - (ended - 1) * 50 / 100 * 100) / CAST(100 AS double precision) * (coalesce(max(CASE WHEN place = 1 + 1 + (ended - 1) * 50 / 100 THEN seconds END) OVER its_day, max(CASE WHEN place = 1 + (ended - 1) * 50 / 100 THEN seconds END) OVER its_day) - max(CASE WHEN place = 1 + (ended - 1) * 50 / 100 THEN seconds END) OVER its_day) AS turn_seconds_median, max(CASE WHEN place = 1 + (ended - 1) * 95 / 100 THEN seconds END) OVER its_day + ((ended - 1) * 95 - (ended - 1) * 95 / 100 * 100) / CAST(100 AS double precision) * (coalesce(max(CASE WHEN place = 1 + 1 + (ended - 1) * 95 / 100 THEN seconds END) OVER its_day, max(CASE WHEN place = 1 + (ended - 1) * 95 / 100 THEN seconds END) OVER its_day) - max(CASE WHEN place = 1 + (ended - 1) * 95 / 100 THEN seconds END) OVER its_day) AS turn_seconds_p95,
                            row_number() OVER its_day AS number
                        FROM (
                            SELECT day, outcome, seconds, count(seconds) OVER (PARTITION BY day) AS ended,
                                row_number() OVER (PARTITION BY day ORDER BY seconds NULLS LAST) AS place
                            FROM session_store_v1_turns
                        ) AS ranked WINDOW its_day AS (PARTITION BY day)
                    ) AS taken WHERE number = 1
                ) AS figures WINDOW its_day AS (PARTITION BY day)
            ) AS days WHERE number = 1
CREATE INDEX session_store_messages_day ON session_store_messages USING brin ((CAST(created_at AT TIME ZONE 'UTC' AS date)))
CREATE INDEX session_store_states_day ON session_store_states USING brin ((CAST(entered_at AT TIME ZONE 'UTC' AS date)))
UPDATE session_store_alembic_version SET version_num='ss_0003' WHERE session_store_alembic_version.version_num = 'ss_0002'
