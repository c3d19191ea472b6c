"""A fork server is a process that has imported the services. It forks the processes of each service in milliseconds.

Most of the time that a service needs to start is for imports. The server (`dragoman/forked.py`) reads requests from the
socket that is its standard input, until the end of file. It exists only on Linux. On other systems, each process is
started separately.
"""

import asyncio
import contextlib
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
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn, TypedDict

from local.process_group import ProcessGroup

COMMAND = (sys.executable, "-P", "-m", "dragoman.main")
"""The command of a process that can be forked. Its arguments follow."""

_START_SECONDS = 30.0
_FORK_SECONDS = 2.0
_REQUEST_BYTES = 200_000
_PR_SET_CHILD_SUBREAPER = 36
_UNKNOWN_STATUS = 255
_ARGUMENTS_BEGIN = 45
"""The index of the field of /proc/self/stat that has the address of the arguments, counted from the field after the
name of the program. The next field has the address of their end."""


class ForkRequest(TypedDict):
    """A request to fork a process. `top` and `pgrep` show the first 15 bytes of `name`."""

    name: str
    arguments: list[str]
    environment: dict[str, str]


class ForkServer:
    """Starts the server, `module`, at once. Starts it again when it was killed or does not answer. Forked processes are
    children of the calling process. For this, the calling process becomes the reaper of all its descendants that lose
    their parent.

    With `from_here`, the first fork server is a fork of the calling process. The calling process imports the same
    modules and has no other thread yet, so both share the memory of all imports. Later fork servers are new processes.
    """

    module = "dragoman.forked"
    _process: "subprocess.Popen[bytes] | _ForkedServer"
    _socket: socket.socket
    _ready: bool
    """Whether the fork server has answered."""

    def __init__(self, group: ProcessGroup, *, from_here: bool = False) -> None:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._group = group
        self._lock = threading.Lock()
        self._start(self._fork if from_here else self._spawn)

    @staticmethod
    def is_supported() -> bool:
        return sys.platform == "linux" and hasattr(os, "pidfd_open")

    @property
    def pid(self) -> int:
        return self._process.pid

    def fork(self, name: str, command: Sequence[str], environment: Mapping[str, str], output: int) -> int | None:
        """Fork a process that runs this command, with `output` as its standard output and error. Returns its pid. The
        result is None if the command is not one of the product's, or if the server has just been killed."""
        prefix = len(COMMAND)
        if tuple(command[:prefix]) != COMMAND:
            return None
        request: ForkRequest = {"name": name, "arguments": [*command[prefix:]], "environment": dict(environment)}
        with self._lock:
            try:
                return self._request(json.dumps(request).encode(), output)
            except OSError:
                self._end()
                self._start(self._spawn)
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

    def _start(self, begin: "Callable[[socket.socket], subprocess.Popen[bytes] | _ForkedServer]") -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.settimeout(_START_SECONDS)
        self._ready = False
        with theirs:
            self._process = begin(theirs)

    def _spawn(self, requests: socket.socket) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "-P", "-m", self.module],
            stdout=subprocess.DEVNULL,
            **(self._group.spawn_options | {"stdin": requests.fileno()}),
        )

    def _fork(self, requests: socket.socket) -> "_ForkedServer":
        program = importlib.import_module(self.module)
        share(program.MODULES)
        kept = self._group.spawn_options["pass_fds"]
        if pid := os.fork():
            return _ForkedServer(pid)
        become_server(requests, kept, program.run)

    def _end(self) -> None:
        self._socket.close()
        self._process.kill()
        self._process.wait()


class _ForkedServer:
    """The methods of subprocess.Popen that are needed, for a server that is a fork of this process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        os.waitpid(self.pid, 0)


class ForkedProcess:
    """The methods of asyncio.subprocess.Process that a supervisor uses. `stdout` has the process's output and
    errors."""

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
        """Send a signal. Raises ProcessLookupError if the process has ended."""
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
    """Fork a process. None if the fork server cannot start it."""
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
    """Fork a process for each request. In a new process, returns its request. In the server itself, returns None when
    there are no more requests."""
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
    """Fork a process whose parent has ended, so that the reaper becomes its parent. Returns 0 in the new process."""
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
    """In the new process: take the name, the environment and the arguments of the request, and begin a session."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(request["environment"])
    Path("/proc/self/comm").write_text(request["name"])
    set_title(request["name"])
    sys.argv = ["dragoman", *request["arguments"]]


def share(modules: Sequence[str]) -> None:
    """Import the modules. The garbage collector never touches the objects that exist then, so that forked processes do
    not copy them."""
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def serve_standard_input(modules: Sequence[str]) -> bool:
    """Import the modules, and then serve the requests of the socket that is the standard input. Returns whether this is
    a new process, which has taken over its request."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    share(modules)
    with socket.socket(fileno=os.dup(0)) as connection:
        forked = serve(connection)
    if forked is not None:
        adopt(forked)
    return forked is not None


def become_server(requests: socket.socket, kept: Collection[int], run: Callable[[], None]) -> NoReturn:
    """In a fork of another process: become the server, and call `run` in each new process. The resources of the other
    process are neither used nor closed in order. Only the descriptors `kept` and standard error stay open."""
    os.setsid()
    _reset_signals()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in (requests.fileno(), *kept):
            # this may be the descriptor with which the directory was listed, which is closed already
            with contextlib.suppress(OSError):
                os.close(descriptor)
    if (request := serve(requests)) is None:
        os._exit(0)
    adopt(request)
    end_with(run)


def apart(work: Callable[[], list[str]], failure: type[Exception]) -> Callable[[], list[str]]:
    """Start the work in a fork of this process, which has no other thread yet. The memory of the work is free again
    when the work ends. The returned function waits for the lines of the work. If the work raises a `failure`, the
    returned function raises it."""
    sys.stdout.flush()  # otherwise the fork would also write the text that waits
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _reset_signals()
        end_with(partial(_report, work, failure, write))
    os.close(write)

    def wait() -> list[str]:
        with open(read) as answer:
            text = answer.read()
        os.waitpid(pid, 0)
        if not text:
            raise failure("a process of this system ended before its work was done")
        lines, error = json.loads(text)
        if error:
            raise failure(error)
        return [*lines]

    return wait


def _reset_signals() -> None:
    """In a fork: Ctrl-C does not end the work, and SIGTERM ends it at once, without the handler of the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _report(work: Callable[[], list[str]], failure: type[Exception], answer: int) -> None:
    try:
        result = work(), ""
    except failure as error:
        result = [], str(error)
    with open(answer, "w") as stream:
        json.dump(result, stream)


def end_with(run: Callable[[], None]) -> NoReturn:
    """Call the function, and end the process with the function's exit status. Nothing is closed in order, because in a
    fork the resources belong to another process."""
    status = 1
    try:
        run()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def set_title(name: str) -> None:
    """Set the title in `ps` to `dragoman: NAME`, because all forked processes have the arguments of the fork server.
    The title is cut to the space that the kernel has for the arguments. On systems other than Linux, nothing
    changes."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        begin, end = map(int, fields[_ARGUMENTS_BEGIN : _ARGUMENTS_BEGIN + 2])
        arguments = Path("/proc/self/cmdline").read_bytes()
        with Path("/proc/self/mem").open("r+b", buffering=0) as memory:
            memory.seek(begin)
            if memory.read(end - begin) != arguments:  # kernels other than Linux store the arguments elsewhere
                return
            memory.seek(begin)
            title = f"dragoman: {name}".encode()[: end - begin - 1]
            memory.write(title.ljust(end - begin, b"\0"))
