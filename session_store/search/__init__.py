"""Finding messages by words: one meaning on every database.

`words` says what a word is, `language` what a query means; both know no database, and they decide. `fts5` and
`tsvector` are indexes that propose messages, `like` looks at every one of them, and `engines` chooses who serves a
query. `selects` makes the statements.
"""
