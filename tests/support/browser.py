"""A headless Chromium that tests control by the DevTools protocol. It can open a page and check it."""

import base64
import itertools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from websockets.sync.client import ClientConnection, connect

WHOLE_CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The program with windows and extensions, as people use it."""
CHROMIUM = shutil.which("chromium-headless-shell") or WHOLE_CHROMIUM
"""The program for tests.

Debian's headless shell has the same engine without windows. Tests of the web client take a third less CPU time with it.
"""
_START_SECONDS = 30.0
_ANSWER_SECONDS = 20.0
_POLL_SECONDS = 0.05


class Browser:
    """One tab.

    It is open between `__enter__` and `__exit__`. `complaints` are errors on the page's console and failed requests.
    """

    def __init__(self, directory: Path) -> None:
        assert CHROMIUM is not None
        self._command = [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--no-proxy-server", "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-port=0",
            f"--user-data-dir={directory}", "about:blank",
        ]  # fmt: skip
        self._profile = directory
        self._numbers = itertools.count(1)
        self._session = ""
        self._open = ExitStack()
        self.complaints: list[str] = []

    def __enter__(self) -> "Browser":
        # Debian starts the headless shell by a script, which passes no signals on, so signals go to the whole group.
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0
        )
        try:
            connecting = connect(self._address(), max_size=None, compression=None, proxy=None)
            self._socket: ClientConnection = self._open.enter_context(connecting)
            tab = self._request("Target.createTarget", url="about:blank")["targetId"]
            self._session = self._request("Target.attachToTarget", targetId=tab, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                self._request(f"{domain}.enable")
        except BaseException:
            self._end(signal.SIGKILL)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
        self._end(signal.SIGTERM)

    def _end(self, by: signal.Signals) -> None:
        os.killpg(self._process.pid, by)
        self._process.wait(_START_SECONDS)

    def open(self, url: str, width: int = 1280, height: int = 800, *, dark: bool = False) -> None:
        self._request(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._request("Emulation.setEmulatedMedia", features=[scheme])
        self._request("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression in the page, as JSON."""
        answer = self._request("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = _ANSWER_SECONDS) -> Any:
        """Waits until the expression is true, and returns its value."""
        deadline = time.monotonic() + seconds
        while not (value := self.evaluate(expression)):
            assert time.monotonic() < deadline, (expression, self.complaints)
            time.sleep(_POLL_SECONDS)
        return value

    def text(self) -> str:
        return str(self.evaluate("document.body.innerText"))

    def screenshot(self, path: Path) -> None:
        """Takes a screenshot of the whole page in its full height."""
        answer = self._request("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _address(self) -> str:
        """Returns the address of the DevTools. Chromium writes their port into a file of its profile."""
        deadline = time.monotonic() + _START_SECONDS
        port_file = self._profile / "DevToolsActivePort"
        while not (port_file.exists() and (lines := port_file.read_text().split())[1:]):
            assert self._process.poll() is None, "chromium has ended"
            assert time.monotonic() < deadline, "chromium does not listen"
            time.sleep(_POLL_SECONDS)
        return f"ws://127.0.0.1:{lines[0]}{lines[1]}"

    def _request(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        question: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if self._session:
            question["sessionId"] = self._session
        self._socket.send(msgspec.json.encode(question).decode())
        while (reply := msgspec.json.decode(self._socket.recv(_ANSWER_SECONDS))).get("id") != number:
            self._note(reply)
        assert "error" not in reply, reply
        result: dict[str, Any] = reply["result"]
        return result

    def _note(self, event: Mapping[str, Any]) -> None:
        match event.get("method"):
            case "Log.entryAdded" if event["params"]["entry"]["level"] == "error":
                self.complaints.append(event["params"]["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(event["params"]["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if event["params"]["type"] in ("error", "assert"):
                self.complaints.append(re.sub(r"\s+", " ", str(event["params"]["args"])))
