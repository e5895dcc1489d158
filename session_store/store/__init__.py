"""The two stores, blocking and asynchronous, over one set of operations."""
