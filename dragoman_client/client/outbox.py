"""Messages, changes and read positions that the server has not acknowledged yet. A store keeps them when the program
restarts."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from dragoman_client.client.connection import CommandRejected, Members
from dragoman_client.client.store import Changes
from dragoman_client.errors import ClientError
from dragoman_client.nonces import NonceSource

_DRAFT_BYTES = 65_000
"""The most bytes of a command, because the server rejects larger frames."""
_MOST_REJECTED = 100
_PREFIX = "outbox/"
_TEXTS = ("send", "edit")
"""The commands with a text and a nonce. When such a command is rejected, the outbox keeps it. Other commands can be
repeated without a nonce."""


class OutboxFull(ClientError):
    """Too many commands are waiting to be sent."""


class StoredError(msgspec.Struct, omit_defaults=True):
    """The reason for which the server has rejected a command."""

    code: str
    text: str
    field: str = ""
    reason: str = ""


class QueuedCommand(msgspec.Struct, eq=False, omit_defaults=True):
    """A command in the outbox. `op`: send, edit, recall, react, unreact or read. `draft`: the members of the command.
    If it has an `error`, it is not sent before the program has retried it."""

    op: str
    draft: Members
    error: StoredError | None = None

    @property
    def nonce(self) -> str:
        """The nonce of the command, or an empty text if it has none."""
        return str(self.draft.get("nonce", ""))

    @property
    def lane(self) -> str:
        """The lane of the command. The commands of one lane are sent one after the other. Each waits for the reply to
        the previous one."""
        to = self.draft.get("to")
        return f"{self.op == 'read'} {f'to {to}' if to else self.draft.get('chat')}"


Result = asyncio.Future[Any]


class Outbox:
    """The outbox of one account. `write`: a function that writes to the store."""

    def __init__(self, stored: dict[str, bytes], write: Callable[[Changes], None], limit: int) -> None:
        names = sorted(name for name in stored if name.startswith(_PREFIX))
        self._entries = {name: msgspec.json.decode(stored[name], type=QueuedCommand) for name in names}
        self._last = int(names[-1].removeprefix(_PREFIX)) if names else 0
        self._write = write
        self._limit = limit
        self._nonces = NonceSource()
        self._results: dict[QueuedCommand, list[Result]] = {}
        self._under_way: set[QueuedCommand] = set()
        self._end: ClientError | None = None
        self.filled = asyncio.Event()

    @property
    def entries(self) -> list[QueuedCommand]:
        """The commands in the outbox, oldest first."""
        return list(self._entries.values())

    def take(self) -> Iterator[QueuedCommand]:
        """The commands to send now. From each lane without a command under way, it is the first one."""
        lanes = {entry.lane for entry in self._under_way}
        for entry in self.entries:
            if entry.error is None and entry.lane not in lanes:
                lanes.add(entry.lane)
                self._under_way.add(entry)
                yield entry

    def release(self) -> None:
        """Note that the connection has ended. All commands will be sent again."""
        self._under_way.clear()

    def add(self, op: str, draft: Members) -> Result:
        """Add a command. The future gets the reply, or raises CommandRejected. If a command with this nonce is waiting
        already, both have the same result. A read position replaces an earlier position, unless that one is under way.
        Raises OutboxFull, the error of `abandon`, and CommandRejected for a draft that is not accepted."""
        if self._end is not None:
            raise self._end
        entry = QueuedCommand(op, self._frozen(op, draft))
        name, known = self._same(entry)
        if known is None:
            name = self._admitted()
        elif op == "read":
            entry.draft["index"] = max(entry.draft["index"], known.draft["index"])
        elif known.draft != entry.draft or known.op != op:
            raise CommandRejected("conflict", "another entry of the outbox has this nonce", "nonce")
        if known is None or op == "read" or known.error is not None:
            self._results[entry] = self._results.pop(known, []) if known is not None else []
            self._entries[name] = known = entry
            self._write({name: msgspec.json.encode(entry)})
            self.filled.set()
        result: Result = asyncio.get_running_loop().create_future()
        self._results.setdefault(known, []).append(result)
        return result

    def _same(self, entry: QueuedCommand) -> tuple[str, QueuedCommand | None]:
        for name, known in self._entries.items():
            is_replaced = entry.op == "read" and known.lane == entry.lane and known not in self._under_way
            if is_replaced or (entry.nonce and known.nonce == entry.nonce):
                return name, known
        return "", None

    def _admitted(self) -> str:
        """The name of a new entry, if the outbox has room."""
        if sum(one.error is None for one in self._entries.values()) >= self._limit:
            raise OutboxFull("the outbox is full")
        self._last += 1
        return f"{_PREFIX}{self._last:012}"

    def _frozen(self, op: str, draft: Members) -> Members:
        """Copy the draft, because the caller may change its own object later. Checks whether the draft can be sent."""
        named = draft if op not in _TEXTS else {**draft, "nonce": draft.get("nonce") or self._nonces.new_nonce()}
        try:
            content = msgspec.json.encode(named)
        except (TypeError, ValueError, RecursionError) as error:
            raise CommandRejected("invalid", f"the draft cannot be encoded as JSON: {error}") from error
        if len(content) > _DRAFT_BYTES:
            raise CommandRejected("too_large", "the draft is too long")
        frozen: Members = msgspec.json.decode(content)
        if not isinstance(frozen.get("nonce", ""), str):
            raise CommandRejected("invalid", "a nonce must be text", "nonce")
        return frozen

    def complete(self, entry: QueuedCommand, result: Members | CommandRejected) -> None:
        """Note that the server has accepted or rejected a command. A rejected text stays in the outbox, with the
        reason."""
        name = next(name for name, known in self._entries.items() if known is entry)
        self._under_way.discard(entry)
        if isinstance(result, CommandRejected) and entry.op in _TEXTS:
            entry.error = StoredError(result.code, str(result), result.field, result.reason)
            self._write({name: msgspec.json.encode(entry), **self._excess()})
        else:
            self._remove(name)
        self.filled.set()  # this sends the messages that wait for this one
        self._finish(self._results.pop(entry, []), result)

    def _excess(self) -> Changes:
        """Remove the oldest rejected commands if there are too many."""
        rejected = [name for name, one in self._entries.items() if one.error is not None]
        excess = rejected[:-_MOST_REJECTED]
        for name in excess:
            del self._entries[name]
        return dict.fromkeys(excess)

    def discard(self, nonce: str) -> None:
        """Remove a rejected command. Raises KeyError."""
        self._remove(self._rejected(nonce)[0])

    def retry(self, nonce: str) -> None:
        """Send a rejected command again. Raises KeyError."""
        name, entry = self._rejected(nonce)
        entry.error = None
        self._write({name: msgspec.json.encode(entry)})
        self.filled.set()

    def _rejected(self, nonce: str) -> tuple[str, QueuedCommand]:
        for name, entry in self._entries.items():
            if entry.nonce == nonce and entry.error is not None:
                return name, entry
        raise KeyError(nonce)

    def _remove(self, name: str) -> None:
        del self._entries[name]
        self._write({name: None})

    def abandon(self, error: ClientError) -> None:
        """End the outbox with this error. It sends nothing more, and waiting commands stay in the store."""
        self._end = error
        for results in self._results.values():
            self._finish(results, error)
        self._results.clear()

    def _finish(self, results: list[Result], result: Members | ClientError) -> None:
        for future in results:
            if future.done():
                continue
            if isinstance(result, ClientError):
                future.set_exception(result)
                future.exception()  # this marks the exception as read, because some callers do not wait for the result
            else:
                future.set_result(result)
