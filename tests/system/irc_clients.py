"""Real IRC clients, each in its own directory. They log in by password, write a log, and can be killed."""

import asyncio
import importlib.util
import os
import pty
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.commands import ROOT
from tests.support.tls_servers import Certificates
from tests.support.waiting import WAIT_SECONDS, block_until

_HERE = Path(__file__).parent
_IRSSI = """
servers = ( {{ address = "{host}"; port = "{port}"; chatnet = "here"; password = "{login}"; autoconnect = "yes"; }} );
chatnets = {{ here = {{ type = "IRC"; }}; }};
settings = {{
  core = {{ real_name = "A user"; user_name = "user"; nick = "user"; }};
  "fe-common/core" = {{ autolog = "yes"; autolog_path = "{logs}/$0.log"; autolog_level = "ALL"; }};
}};
"""
_WEECHAT = (
    "/set logger.file.path {logs}",
    "/set logger.file.flush_delay 0",
    "/set irc.server_default.anti_flood_prio_high 0",
    "/server add here {host}/{port} -notls -password={login} -nicks=user",
    "/connect here",
)


_SUPYBOT = """
supybot.nick: user
supybot.ident: user
supybot.user: A user
supybot.networks: here
supybot.networks.here.servers: {host}:{port}
supybot.networks.here.password: {login}
supybot.networks.here.ssl: False
supybot.networks.here.ssl.authorityCertificate: {authority}
supybot.drivers.minReconnectWait: 0.1
supybot.reply.whenAddressedBy.chars: {mark}
supybot.protocols.irc.throttleTime: 0.0
supybot.plugins: ChannelLogger Utilities
supybot.plugins.ChannelLogger: True
supybot.plugins.ChannelLogger.flushImmediately: True
supybot.plugins.Utilities: True
supybot.directories.log: {logs}
supybot.log.stdout: False
"""


def _is_there(program: str) -> bool:
    if program == "pydle":
        return importlib.util.find_spec(program) is not None
    if program == "irc-framework":
        return shutil.which("node") is not None and (ROOT / "node_modules" / program).is_dir()
    return shutil.which(program) is not None


class IrcClient(ABC):
    """A real IRC client. `login` is `USERNAME:PASSWORD`. `address` is tcp://host:port."""

    program: str
    mark: str = ""
    """A text for bots. If another user's message begins with it, the bot sends the rest of that message."""

    def __init__(self, home: Path, address: str, login: str) -> None:
        self.home = home
        self.logs = home / "logs"
        self.logs.mkdir()
        parts = urlsplit(address)
        self.values = {
            "host": str(parts.hostname),
            "port": str(parts.port),
            "login": login,
            "home": str(home),
            "logs": str(self.logs),
            "mark": self.mark,
            "authority": "",
        }
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        self.process = self._start()

    @abstractmethod
    def _start(self) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def send(self, channel: str, text: str) -> None:
        """Sends a message, as the client's user would."""

    @classmethod
    def is_installed(cls) -> bool:
        return _is_there(cls.program)

    def kill(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(WAIT_SECONDS)
            if self.process.stdin is not None:
                self.process.stdin.close()
            self.process = None

    def lines(self) -> list[str]:
        """Returns the lines of all logs. Each chat has its own log."""
        logs = sorted(path for path in self.logs.rglob("*") if path.is_file())
        return [line for log in logs for line in log.read_text(errors="replace").splitlines()]

    def shows(self, text: str) -> bool:
        return any(text in line for line in self.lines())

    def await_text(self, text: str) -> None:
        try:
            block_until(lambda: self.shows(text))
        except AssertionError:
            raise AssertionError(f"{self.program} does not show {text!r}, but {self.lines()[-20:]}") from None


class TerminalClient(IrcClient):
    """A client that runs in a terminal."""

    def run(self, *command: object, **environment: str) -> subprocess.Popen[bytes]:
        self._terminal, inner = pty.openpty()
        size = {"TERM": "vt100", "HOME": str(self.home), "LINES": "40", "COLUMNS": "120"}
        process = subprocess.Popen(
            [*map(str, command)], stdin=inner, stdout=inner, stderr=inner, env=os.environ | size | environment,
            start_new_session=True,
        )  # fmt: skip
        os.close(inner)
        os.set_blocking(self._terminal, False)
        return process

    def send(self, channel: str, text: str) -> None:
        os.write(self._terminal, f"/msg {channel} {text}\r".encode())

    def shows(self, text: str) -> bool:
        self._drain()
        return super().shows(text)

    def _drain(self) -> None:
        """Reads the terminal. If its buffer were full, the client would stop."""
        try:
            while os.read(self._terminal, 65536):
                pass
        except (BlockingIOError, OSError):
            pass


class Irssi(TerminalClient):
    program = "irssi"

    def _start(self) -> subprocess.Popen[bytes]:
        (self.home / "config").write_text(_IRSSI.format(**self.values))
        return self.run("irssi", "--home", self.home)


class Catgirl(TerminalClient):
    """The client catgirl, which can connect only over TLS."""

    program = "catgirl"

    def __init__(self, home: Path, address: str, login: str) -> None:
        super().__init__(home, address, login)
        self._certificates = Certificates(home / "tls", "127.0.0.1")
        self._door = TlsDoor(self._certificates.server_context(), int(self.values["port"]))

    def _start(self) -> subprocess.Popen[bytes]:
        place = "-h", "127.0.0.1", "-p", self._door.port, "-t", self._certificates["ca.crt"]
        return self.run("catgirl", *place, "-n", "user", "-w", self.values["login"], "-l", XDG_DATA_HOME=str(self.logs))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._door.close()


class TlsDoor:
    """Adds TLS to the connections to a port of this machine. `passed`: the connections whose TLS was accepted."""

    def __init__(self, context: ssl.SSLContext, target: int) -> None:
        self._target = target
        self.passed = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        opened = asyncio.start_server(self._join, "127.0.0.1", 0, ssl=context)
        self._server = asyncio.run_coroutine_threadsafe(opened, self._loop).result(WAIT_SECONDS)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.passed += 1
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(_copy(reader, other_writer), _copy(other_reader, writer))

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(WAIT_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_SECONDS)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Makes short TLS records, because Limnoria reads 1,024 bytes of a record, and the rest only when more arrives."""
    try:
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


class BackgroundClient(IrcClient):
    """A client that needs no terminal."""

    def run(self, *command: object) -> subprocess.Popen[bytes]:
        with (self.home / "out.log").open("ab") as out:
            return subprocess.Popen(
                [*map(str, command)], cwd=self.home, stdin=subprocess.PIPE, stdout=out, stderr=out,
                env=os.environ | {"HOME": str(self.home)}, start_new_session=True,
            )  # fmt: skip


class Library(BackgroundClient):
    """A program made with a library. Its output is the log, and it reads the messages to send from its input."""

    @abstractmethod
    def command(self) -> tuple[object, ...]: ...

    def _start(self) -> subprocess.Popen[bytes]:
        return self.run(*self.command(), *(self.values[name] for name in ("host", "port", "login")))

    def lines(self) -> list[str]:
        return (self.home / "out.log").read_text(errors="replace").splitlines()

    def send(self, channel: str, text: str) -> None:
        assert self.process is not None
        assert self.process.stdin is not None
        self.process.stdin.write(f"{channel} {text}\n".encode())
        self.process.stdin.flush()


class Pydle(Library):
    program = "pydle"

    def command(self) -> tuple[object, ...]:
        return sys.executable, _HERE / "pydle_client.py"


class IrcFramework(Library):
    program = "irc-framework"

    def command(self) -> tuple[object, ...]:
        return "node", _HERE / "irc_framework_client.mjs"


class Limnoria(BackgroundClient):
    program = "supybot"
    mark = "!"

    def _start(self) -> subprocess.Popen[bytes]:
        (self.home / "bot.conf").write_text(_SUPYBOT.format(**self.values))
        return self.run("supybot", "--allow-root", "bot.conf")

    def send(self, channel: str, text: str) -> None:
        raise AssertionError("it only answers")


class WeeChat(BackgroundClient):
    program = "weechat-headless"

    def _start(self) -> subprocess.Popen[bytes]:
        for pipe in self.home.glob("weechat_fifo_*"):
            pipe.unlink()
        commands = [part for line in _WEECHAT for part in ("-r", line.format(**self.values))]
        return self.run("weechat-headless", "-d", self.home, *commands)

    def send(self, channel: str, text: str) -> None:
        (pipe,) = self.home.glob("weechat_fifo_*")
        pipe.write_text(f"irc.server.here */msg {channel} {text}\n")


CLIENTS: tuple[type[IrcClient], ...] = (Irssi, WeeChat, Catgirl, Limnoria, Pydle, IrcFramework)
