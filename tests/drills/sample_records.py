"""Makes records of correct runs for tests of the checker. It simulates a chat server that never fails."""

from collections import defaultdict

from tests.drills.records import (
    ChatAnnounced,
    Closed,
    DrillRecords,
    Entry,
    Fault,
    MessageAcknowledged,
    MessageReceived,
    MessageRejected,
    MessageSent,
    Opened,
    Record,
)


class SampleRecords:
    """Devices, with names `<account>/<which>`, that send messages.

    They connect and disconnect, and edges are killed.
    """

    def __init__(self, members: dict[int, frozenset[int]], edges: dict[str, str]) -> None:
        self.members = members
        self.edges = edges
        self.records: list[Record] = []
        self.history: dict[int, list[Entry]] = {chat: [] for chat in members}
        self._at = 0.0
        self._texts = 0
        self._connections = 0
        self._online: dict[str, int] = {}
        self._got: dict[int, set[int]] = defaultdict(set)
        for device in edges:
            self.enter(device)

    @property
    def recorded(self) -> DrillRecords:
        return DrillRecords(self.members, list(self.records), {chat: list(all_) for chat, all_ in self.history.items()})

    def connection(self, device: str) -> int:
        return self._online[device]

    def advance(self, seconds: float = 0.01) -> float:
        self._at += seconds
        return self._at

    def enter(self, device: str) -> None:
        """Logs the device in, and makes it receive the messages that its account missed."""
        if device in self._online:
            return
        self._connections += 1
        self._online[device] = self._connections
        account = _account(device)
        self.records.append(Opened(self.advance(), self._connections, device, account, self.edges[device]))
        for chat, entries in self.history.items():
            for entry in entries:
                if account in self.members[chat] and entry.sender != account and entry.msg_id not in self._got[account]:
                    self.receive(device, chat, entry)

    def leave(self, device: str, code: int = 1000, ponged: float = 0.0) -> None:
        connection = self._online.pop(device, None)
        if connection is not None:
            self.records.append(Closed(self.advance(), connection, code, ponged))

    def kill(self, edge: str) -> None:
        self.records.append(Fault(self.advance(), edge, "kill"))
        for device in [device for device in self._online if self.edges[device] == edge]:
            self.leave(device, 1006)

    def send(self, device: str, chat: int) -> str:
        """Sends a message that is stored, acknowledged and received by all connected members."""
        text = self.send_unanswered(device, chat)
        self.acknowledge(device, text, chat)
        return text

    # Single steps

    def acknowledge(self, device: str, text: str, chat: int) -> None:
        entry = self.store(text, _account(device), chat)
        self.records.append(MessageAcknowledged(self.advance(), self._online[device], text, entry.msg_id))
        for other in self._online:
            if _account(other) in self.members[chat]:
                self.receive(other, chat, entry)

    def send_unanswered(self, device: str, chat: int) -> str:
        self._texts += 1
        text = f"text-{self._texts}"
        self.records.append(MessageSent(self.advance(), self._online[device], chat, text))
        return text

    def store(self, text: str, sender: int, chat: int) -> Entry:
        entries = self.history[chat]
        msg_id = 1000 + sum(map(len, self.history.values()))
        entries.append(Entry(len(entries) + 1, msg_id, sender, text, 1_700_000_000_000 + msg_id))
        return entries[-1]

    def receive(self, device: str, chat: int, entry: Entry) -> None:
        self._got[_account(device)].add(entry.msg_id)
        received = MessageReceived(
            self.advance(), self._online[device], chat, entry.sender, entry.msg_id, entry.text, entry.time
        )
        self.records.append(received)

    def reject(self, device: str, text: str, *, unknown: bool) -> None:
        self.records.append(MessageRejected(self.advance(), self._online[device], text, "no", unknown))

    def announce_chat(self, device: str, chat: int) -> None:
        self.records.append(ChatAnnounced(self.advance(), self._online[device], chat))


def _account(device: str) -> int:
    return int(device.split("/")[0])
