"""The ``session-store`` command, which needs the extra ``cli``.

The commands are in `session_store.cli.app`; `session_store.cli.terminal_output` prints stored text safely.
"""

from __future__ import annotations

import sys
from typing import Final

_EXTRA: Final = {"rich", "typer"}


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from session_store.cli.app import run  # noqa: PLC0415 - what it needs may be missing
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _EXTRA:
            raise
        sys.stderr.write(
            f"error: the command line needs {missing}, which comes with the extra `cli`: "
            "pip install 'session-store[cli]'\n"
        )
        return 1
    return run(sys.argv[1:])
