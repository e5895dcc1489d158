"""A Chromium without a window, spoken to through a pipe, as its DevTools do.

The messages: https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    "--remote-debugging-pipe",
]

needs_chromium = pytest.mark.skipif(PROGRAM is None, reason="there is no chromium: apt-get install chromium")


class Tab:
    """One page, and all that the browser says of it."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._rest = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> Any:
        """Have something done and return what comes of it."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def open(self, path: Path, *, width: int, height: int = 900, scheme: str = "light") -> None:
        """Show a file on a screen of this size, to somebody who likes it light or dark."""
        self.events.clear()
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self.ask("Page.navigate", url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def evaluate(self, expression: str) -> Any:
        """Return what an expression of JavaScript gives."""
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Keep a picture of the whole page."""
        made = self.ask("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(made["data"]))

    def requested(self) -> list[str]:
        """What was asked for since the page was opened."""
        asked = (event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent")
        return [each["request"]["url"] for each in asked]

    def complaints(self) -> list[Any]:
        """What stands on the console since the page was opened."""
        names = {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
        return [event["params"] for event in self.events if event["method"] in names]

    def _next(self) -> Any:
        while b"\0" not in self._rest:
            read = os.read(self._from, 1 << 20)
            assert read, "the browser has ended"
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextmanager
def browser(folder: Path) -> Iterator[Tab]:
    """Start it with a profile of its own, and end it."""
    assert PROGRAM is not None
    its_input, to_browser = os.pipe()
    from_browser, its_output = os.pipe()
    # It reads from 3 and writes to 4; first out of the way, for one of them may have such a number.
    its_ends = [os.dup2(end, 100 + place) for place, end in enumerate((its_input, its_output))]
    nothing = os.open(os.devnull, os.O_WRONLY)
    actions = [
        (os.POSIX_SPAWN_DUP2, its_ends[0], 3),
        (os.POSIX_SPAWN_DUP2, its_ends[1], 4),
        (os.POSIX_SPAWN_DUP2, nothing, 2),
    ]
    command = [PROGRAM, *OPTIONS, f"--user-data-dir={folder}"]
    pid = os.posix_spawn(PROGRAM, command, os.environ, file_actions=actions, setpgroup=0)
    for end in (its_input, its_output, *its_ends, nothing):
        os.close(end)
    try:
        yield Tab(to_browser, from_browser)
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(to_browser)
        os.close(from_browser)
