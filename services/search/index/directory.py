"""The directory of indexes: the one that is read, and, while another is built beside it, the one that is written.

The name of an index tells its format and the database that it is made from. One with another name is deleted once the
new one is complete; until then, one of the same format is still read.
"""

import shutil
from pathlib import Path
from zlib import crc32

from services.search.index.message_index import FORMAT, MessageIndex
from shared.telemetry import log

_log = log(__name__)
_COMPLETE = "complete"
"""A file in the directory of an index that has had all messages once."""

_PROBE_BYTES = 2**20
"""Quotas, read-only disks and limits of files do not show in the free space of a disk."""


class IndexDirectory:
    """One thread opens and writes."""

    def __init__(self, path: Path, memory_bytes: int) -> None:
        self._path = path
        self._memory = memory_bytes
        self._format = f"{crc32(FORMAT.encode()):08x}"
        self.written: MessageIndex | None = None
        self.read: MessageIndex | None = None
        """None: there is none yet."""

    def open(self, epoch: str) -> MessageIndex:
        """The index of the database with this epoch, which is new if there is none that can be used."""
        path = self._path / f"{self._format}-{epoch or 'first'}"
        try:
            index = MessageIndex(path, self._memory)
        except (ValueError, OSError) as error:
            if not self.has_room():
                raise
            _log.warning("the index cannot be opened, and is rebuilt", error=str(error))
            shutil.rmtree(path, ignore_errors=True)
            index = MessageIndex(path, self._memory)
        self.written = index
        self.read = index if (path / _COMPLETE).exists() else self._older(path) or index
        return index

    def _older(self, path: Path) -> MessageIndex | None:
        for other in sorted(self._path.glob(f"{self._format}-*")):
            if other != path and (other / _COMPLETE).exists():
                try:
                    return MessageIndex(other, self._memory)
                except (ValueError, OSError) as error:
                    _log.warning("an older index cannot be read", error=str(error))
        return None

    def complete(self) -> None:
        """The index that is written has all messages."""
        index = self.written
        if index is None or (self.read is index and (index.path / _COMPLETE).exists()):
            return
        (index.path / _COMPLETE).touch()
        self.read = index
        for other in self._path.iterdir():
            if other != index.path:
                shutil.rmtree(other, ignore_errors=True)

    def has_room(self) -> bool:
        """Whether the disk takes what a commit writes: if not, a failure to write tells nothing about the index."""
        probe = self._path / "probe"
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
            return shutil.disk_usage(self._path).free >= self._memory
        except OSError:
            return False
        finally:
            probe.unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the index that is written. `open` makes another."""
        if self.written is not None:
            shutil.rmtree(self.written.path, ignore_errors=True)
        self.written = self.read = None
