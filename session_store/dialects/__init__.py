"""Where SQLite and PostgreSQL differ: in SQL, in what their errors mean, in how a connection is made.

Each difference has one name, and its two spellings stand one under the other. No other module but
`session_store.types` and the revisions names a database.
"""
