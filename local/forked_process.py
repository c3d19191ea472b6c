"""A child process that the fork server has forked, for a supervisor in asyncio."""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence

from local.fork_server import ForkServer

_UNKNOWN_STATUS = 255


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
