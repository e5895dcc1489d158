
CREATE TABLE session_store_sessions (
	"key" TEXT NOT NULL, 
	name TEXT, 
	owner TEXT, 
	attributes TEXT DEFAULT '{}' NOT NULL, 
	created_at VARCHAR(32) NOT NULL, 
	last_activity VARCHAR(32) NOT NULL, 
	active_minute VARCHAR(32) NOT NULL, 
	message_count BIGINT DEFAULT 0 NOT NULL, 
	last_seq BIGINT DEFAULT 0 NOT NULL, 
	state_seq BIGINT DEFAULT 0 NOT NULL, 
	state TEXT DEFAULT 'idle' NOT NULL, 
	turn_id TEXT, 
	state_entered_at VARCHAR(32), 
	CONSTRAINT session_store_sessions_pkey PRIMARY KEY ("key")
)


CREATE INDEX session_store_sessions_owner_recency ON session_store_sessions (owner, active_minute DESC, "key") WHERE owner IS NOT NULL
CREATE INDEX session_store_sessions_recency ON session_store_sessions (active_minute DESC, "key")
CREATE INDEX session_store_sessions_state ON session_store_sessions (state, state_entered_at) WHERE state != 'idle'

CREATE TABLE session_store_messages (
	session_key TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	turn_id TEXT, 
	role TEXT NOT NULL, 
	content TEXT NOT NULL, 
	payload TEXT, 
	idempotency_key TEXT, 
	created_at VARCHAR(32) NOT NULL, 
	CONSTRAINT session_store_messages_pkey PRIMARY KEY (session_key, seq), 
	CONSTRAINT session_store_messages_session_key_fkey FOREIGN KEY(session_key) REFERENCES session_store_sessions ("key") ON DELETE CASCADE
)


CREATE UNIQUE INDEX session_store_messages_idempotency ON session_store_messages (session_key, idempotency_key) WHERE idempotency_key IS NOT NULL

CREATE TABLE session_store_states (
	session_key TEXT NOT NULL, 
	seq BIGINT NOT NULL, 
	state TEXT NOT NULL, 
	turn_id TEXT, 
	entered_at VARCHAR(32) NOT NULL, 
	CONSTRAINT session_store_states_pkey PRIMARY KEY (session_key, seq), 
	CONSTRAINT session_store_states_session_key_fkey FOREIGN KEY(session_key) REFERENCES session_store_sessions ("key") ON DELETE CASCADE
)


