"""The suite that any backend runs against itself, run by this store through each of its doors."""

from session_store.testing.conformance import *  # noqa: F403 - as a backend does
