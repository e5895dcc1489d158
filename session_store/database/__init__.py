"""Everything that differs between SQLite and PostgreSQL: engines, transactions, locks, functions and errors."""
