"""The directory of indexes. One index is read. Meanwhile, another index may be built, into which new messages are
written.

The name of an index contains the format of the index and the epoch of the message database. An index with an outdated
name is deleted when the new index is complete. Until then, it is read if Tantivy can read its format. All hits are
compared with the messages, so an index with outdated rules for terms does no harm.
"""

import shutil
from pathlib import Path
from zlib import crc32

from services.search.index.message_index import FORMAT, MessageIndex
from shared.telemetry import log

_log = log(__name__)
_COMPLETE = "complete"
"""This file marks the directory of an index that once contained all messages."""

_PROBE_BYTES = 2**20
"""The size of a file that is written to test the disk. The free space of a disk does not show quotas, read-only disks
and limits of file sizes."""


class IndexDirectory:
    """The directory of indexes. Only one thread may open and write the indexes."""

    def __init__(self, path: Path, memory_bytes: int) -> None:
        self._path = path
        self._memory = memory_bytes
        self._format = f"{crc32(FORMAT.encode()):08x}"
        self.written: MessageIndex | None = None
        self.read: MessageIndex | None = None
        """The index that is read; None if there is none."""

    def open(self, epoch: str) -> MessageIndex:
        """The index of the database with this epoch, or a new index if no existing one can be used."""
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
        for other in sorted(self._path.iterdir()):
            if other != path and (other / _COMPLETE).exists():
                try:
                    return MessageIndex(other, self._memory)
                except (ValueError, OSError) as error:
                    _log.warning("an older index cannot be read", error=str(error))
        return None

    @property
    def is_complete(self) -> bool:
        """Whether the index that is written once contained all messages."""
        return self.written is not None and (self.written.path / _COMPLETE).exists()

    def complete(self) -> None:
        """Mark the index under construction as complete: it has all messages."""
        index = self.written
        if index is None or (self.read is index and self.is_complete):
            return
        (index.path / _COMPLETE).touch()
        self.read = index
        for other in self._path.iterdir():
            if other != index.path:
                shutil.rmtree(other, ignore_errors=True)

    def has_room(self) -> bool:
        """Whether the disk has room for a commit. If the disk is full, a failed commit does not mean that the index is
        damaged."""
        probe = self._path / "probe"
        try:
            probe.write_bytes(bytes(_PROBE_BYTES))
            return shutil.disk_usage(self._path).free >= self._memory
        except OSError:
            return False
        finally:
            probe.unlink(missing_ok=True)

    def clear(self) -> None:
        """Delete the index that is written. `open` then makes another index."""
        if self.written is not None:
            shutil.rmtree(self.written.path, ignore_errors=True)
        self.written = self.read = None
