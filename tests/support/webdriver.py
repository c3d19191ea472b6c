"""Firefox and WebKit in windows that tests control: Firefox by WebDriver BiDi, and WebKit by WebDriver over HTTP."""

import itertools
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import connect

from local.ports import free_ports

ENTER = "\ue007"
"""The key Enter, as both protocols name it."""
_ANSWER_SECONDS = 60.0
_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.05
_QUESTION = """const done = arguments[arguments.length - 1];
(async () => JSON.stringify((await ({})) ?? null))().then(done, (error) => done(`"${{error}}"`));"""


class DrivenBrowser(ABC):
    """One window of a browser. It is open between `__enter__` and `__exit__`."""

    programs: Sequence[str]
    """The programs of Debian's packages that it needs."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open = ExitStack()

    @classmethod
    def lacking(cls) -> list[str]:
        return [program for program in cls.programs if not shutil.which(program)]

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @abstractmethod
    def open(self, address: str) -> None: ...

    @abstractmethod
    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression in the page, as JSON, and waits for it if it is a promise."""

    @abstractmethod
    def resize(self, width: int, height: int) -> None: ...

    def wait_for(self, expression: str) -> Any:
        """Waits until the expression is true, and returns its value."""
        return _waited(lambda: self.evaluate(expression), expression)

    def click(self, element: str) -> None:
        """Clicks on the element that the expression returns, as soon as the page has it."""
        place = f"""((one) => {{
          one?.scrollIntoView({{ block: "nearest" }});
          const {{ x, y, width, height }} = one?.getBoundingClientRect() ?? {{}};
          return width && [x + width / 2, y + height / 2].map(Math.round);
        }})({element})"""
        x, y = self.wait_for(place)
        moves = [{"type": "pointerMove", "x": x, "y": y}, *({"type": kind, "button": 0} for kind in _CLICK)]
        self._perform({"type": "pointer", "id": "mouse", "actions": moves})

    def type(self, text: str) -> None:
        """Presses the keys of a text, in the element that has the focus."""
        strokes = [{"type": kind, "value": key} for key in text for kind in ("keyDown", "keyUp")]
        self._perform({"type": "key", "id": "keyboard", "actions": strokes})

    @abstractmethod
    def _start(self) -> None: ...

    @abstractmethod
    def _perform(self, source: Mapping[str, object]) -> None: ...

    def _run(self, *command: str | Path) -> "subprocess.Popen[str]":
        """Starts a process, which ends with this browser."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self._open.enter_context(process)
        self._open.callback(process.terminate)
        return process


_CLICK = ("pointerDown", "pointerUp")


def _waited(look: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + _WAIT_SECONDS
    while not (value := look()):
        assert time.monotonic() < deadline, what
        time.sleep(_POLL_SECONDS)
    return value


class Firefox(DrivenBrowser):
    programs = ("firefox-esr",)

    def open(self, address: str) -> None:
        self._request("browsingContext.navigate", context=self._tab, url=address, wait="complete")

    def evaluate(self, expression: str) -> Any:
        question = f"(async () => JSON.stringify((await ({expression})) ?? null))()"
        answer = self._request("script.evaluate", expression=question, target={"context": self._tab}, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def resize(self, width: int, height: int) -> None:
        self._request("browsingContext.setViewport", context=self._tab, viewport={"width": width, "height": height})

    def _start(self) -> None:
        profile = self._directory / "firefox"
        profile.mkdir()
        self._run("firefox-esr", "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0")
        port = profile / "WebDriverBiDiServer.json"
        found = json.loads(_waited(lambda: port.exists() and port.read_text(), "Firefox does not listen"))
        address = f"ws://{found['ws_host']}:{found['ws_port']}/session"
        self._socket = self._open.enter_context(connect(address, max_size=None, compression=None, proxy=None))
        self._numbers = itertools.count(1)
        self._request("session.new", capabilities={})
        self._tab = self._request("browsingContext.getTree")["contexts"][0]["context"]

    def _perform(self, source: Mapping[str, object]) -> None:
        self._request("input.performActions", context=self._tab, actions=[source])

    def _request(self, method: str, **parameters: object) -> Any:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while (reply := json.loads(self._socket.recv(_ANSWER_SECONDS))).get("id") != number:
            pass
        assert reply["type"] == "success", reply
        return reply["result"]


class WebKit(DrivenBrowser):
    """WebKitGTK's MiniBrowser, on a display that exists in memory alone."""

    programs = ("WebKitWebDriver", "Xvfb")

    def open(self, address: str) -> None:
        self._request("/url", url=address)

    def evaluate(self, expression: str) -> Any:
        return json.loads(self._request("/execute/async", script=_QUESTION.format(expression), args=[]))

    def resize(self, width: int, height: int) -> None:
        self._request("/window/rect", width=width, height=height)

    def _start(self) -> None:
        display = self._run("Xvfb", "-displayfd", "1", "-screen", "0", "1400x900x24", "-nolisten", "tcp")
        assert display.stdout is not None
        port = free_ports(1)
        self._address = f"http://127.0.0.1:{port}/session"
        screen = f"DISPLAY=:{display.stdout.readline().strip()}"
        self._run("env", screen, "GDK_BACKEND=x11", "WebKitWebDriver", f"--port={port}")
        _waited(self._is_ready, "WebKitWebDriver does not listen")
        self._address += "/" + self._request("", capabilities={})["sessionId"]
        self._open.callback(self._request, "", "DELETE")

    def _is_ready(self) -> bool:
        try:
            urllib.request.urlopen(self._address.replace("session", "status"), timeout=_ANSWER_SECONDS).close()  # noqa: S310
        except urllib.error.URLError:
            return False
        return True

    def _perform(self, source: Mapping[str, object]) -> None:
        self._request("/actions", actions=[source])

    def _request(self, path: str, method: str = "POST", **parameters: object) -> Any:
        request = urllib.request.Request(self._address + path, json.dumps(parameters).encode(), method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as response:  # noqa: S310
            return json.load(response)["value"]
