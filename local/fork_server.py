"""A fork server: one process that has imported the services, and forks each process of them in milliseconds.

Importing a service takes far longer than everything else at its start. The server (`dragoman/forked.py`) reads
requests from the socket that is its standard input, until the end of file. Linux only; elsewhere each process is
started by itself.
"""

import asyncio
import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from local.process_group import ProcessGroup

COMMAND = (sys.executable, "-P", "-m", "dragoman.main")
"""The command of a process that can be forked, before its arguments."""

_START_SECONDS = 30.0
_FORK_SECONDS = 2.0
_REQUEST_BYTES = 200_000
_PR_SET_CHILD_SUBREAPER = 36
_UNKNOWN_STATUS = 255


class ForkRequest(TypedDict):
    """`name` is shown by `top` and `pgrep`, its first 15 bytes."""

    name: str
    arguments: list[str]
    environment: dict[str, str]


class ForkServer:
    """Starts the server, `module`, at once, and again when it was killed or does not answer. Forked processes are
    children of the calling process (which becomes the reaper of all processes that lose their parent)."""

    module = "dragoman.forked"
    _process: subprocess.Popen[bytes]
    _socket: socket.socket
    _ready: bool
    """It has answered."""

    def __init__(self, group: ProcessGroup) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._group = group
        self._lock = threading.Lock()
        self._start()

    @staticmethod
    def is_supported() -> bool:
        return sys.platform == "linux" and hasattr(os, "pidfd_open")

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self, name: str, command: Sequence[str], environment: Mapping[str, str], output: int) -> int | None:
        """The pid of a new process that runs this command, with `output` as its standard output and error. None if the
        server cannot do it: the command is not one of the product's, or the server has just been killed."""
        prefix = len(COMMAND)
        if tuple(command[:prefix]) != COMMAND:
            return None
        request: ForkRequest = {"name": name, "arguments": [*command[prefix:]], "environment": dict(environment)}
        with self._lock:
            try:
                return self._request(json.dumps(request).encode(), output)
            except OSError:
                self._end()
                self._start()
                return None

    def close(self) -> None:
        with self._lock:
            self._end()

    def _request(self, request: bytes, output: int) -> int:
        if not self._ready:
            self._receive()
            self._socket.settimeout(_FORK_SECONDS)
            self._ready = True
        socket.send_fds(self._socket, [request], [output])
        return int(self._receive())

    def _receive(self) -> bytes:
        if answer := self._socket.recv(64):
            return answer
        raise ConnectionResetError("the fork server has ended")

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_START_SECONDS)
        self._ready = False
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self.module],
                stdout=subprocess.DEVNULL,
                **(self._group.spawn_options | {"stdin": theirs.fileno()}),
            )

    def _end(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


class ForkedProcess:
    """The part of asyncio.subprocess.Process that a supervisor uses. `stdout` is its output, errors included."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._ended = asyncio.Event()
        self._descriptor = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._descriptor, self._reap)

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Raises ProcessLookupError if it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError(self.pid)
        signal.pidfd_send_signal(self._descriptor, number)

    def _reap(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        try:
            self.returncode = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        except ChildProcessError:
            self.returncode = _UNKNOWN_STATUS
        self._ended.set()


async def fork(
    server: ForkServer, name: str, command: Sequence[str], environment: Mapping[str, str]
) -> ForkedProcess | None:
    """None if the fork server cannot do it."""
    read, write = os.pipe()
    try:
        pid = await asyncio.to_thread(server.fork, name, command, environment, write)
    finally:
        os.close(write)
    if pid is None:
        os.close(read)
        return None
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", 0)
    )
    return ForkedProcess(pid, reader)


def serve(requests: socket.socket) -> ForkRequest | None:
    """Fork a process for each request. Returns the request in the new process, and None in the server at the end."""
    requests.send(b"ready")
    while True:
        text, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 1)
        if not text:
            return None
        (output,) = descriptors
        pid = _fork_twice()
        if pid == 0:
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            request: ForkRequest = json.loads(text)
            return request
        os.close(output)
        requests.send(str(pid).encode())


def _fork_twice() -> int:
    """0 in the new process. Its parent has ended when this returns, so that the reaper is its parent."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        grandchild = os.fork()
        if grandchild == 0:
            os.close(read)
            os.close(write)
            return 0
        os.write(write, str(grandchild).encode())
        os._exit(0)
    os.waitpid(child, 0)
    pid = int(os.read(read, 32))
    os.close(read)
    os.close(write)
    return pid


def adopt(request: ForkRequest) -> None:
    """Get the name, the environment and the arguments of the request, and a session, in the new process."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(request["environment"])
    Path("/proc/self/comm").write_text(request["name"])
    sys.argv = ["dragoman", *request["arguments"]]


def serve_standard_input(modules: Sequence[str]) -> bool:
    """Import the modules, then serve the requests of the socket that is the standard input. Returns whether this is a
    new process, which has adopted its request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as connection:
        forked = serve(connection)
    if forked is not None:
        adopt(forked)
    return forked is not None
