"""The directory of indexes: one index is read, while another may be built beside it; new messages go into the new
index.

The name of an index has the index's format and database. An index with an outdated name is deleted when the new index
is complete; until then, the outdated index is read if Tantivy can. All hits are compared with the messages, so outdated
rules for terms do no harm.
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
    """Only one thread opens and writes the indexes."""

    def __init__(self, path: Path, memory_bytes: int) -> None:
        self._path = path
        self._memory = memory_bytes
        self._format = f"{crc32(FORMAT.encode()):08x}"
        self.written: MessageIndex | None = None
        self.read: MessageIndex | None = None
        """The index that is read; None while there is none."""

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
        """Whether the index that is written has had all messages once."""
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
        """Whether the disk has room for a commit. Without room, a failed commit does not mean that the index is
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
        """Delete the index that is written. `open` makes another."""
        if self.written is not None:
            shutil.rmtree(self.written.path, ignore_errors=True)
        self.written = self.read = None
