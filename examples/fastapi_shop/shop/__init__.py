"""A small shop that is talked to: an example of a FastAPI application with session_store in it."""
