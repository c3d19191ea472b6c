"""The invariant of unread counts: a login shows the number of messages that the account has not received.

This module does no I/O.
"""

from collections.abc import Iterator

from tests.drills.record_index import RecordIndex
from tests.drills.records import Entry, UnreadShown

SETTLED_SECONDS = 15.0
"""A message that was received more than this many seconds ago is read, and no longer counts as unread."""
_RECOVERY_SECONDS = 10.0
_MOST_PER_CHAT = 10_000
"""The default of the setting `message.pushed_per_chat`."""


def counted(record_index: RecordIndex) -> Iterator[str]:
    """A sleeper's unread count is between two bounds.

    The least is the number of messages that were acknowledged before the login and that the sleeper never received. The
    most is the number of messages that were sent before the reply and that the sleeper had not received long before.

    During a fault, messages cannot be counted, and the login shows 0. Also, messages that were received just before a
    fault may be missing from the read state.
    """
    for shown in record_index.unread_shown:
        if not shown.count and _disturbed(record_index, shown):
            continue
        cut_off = max((at for at in record_index.sleepers_cut_off[shown.account] if at < shown.at), default=0.0)
        least = most = 0
        for entries in _chats_of(record_index, shown.account):
            others = [entry for entry in entries if entry.sender != shown.account]
            due = sum(_must_count(record_index, shown, entry, cut_off) for entry in others)
            least += min(due, _MOST_PER_CHAT)
            most += sum(_may_count(record_index, shown, entry) for entry in others)
        if not least <= shown.count <= most:
            yield (
                f"account {shown.account} was told of {shown.count} unread messages at {shown.at:.2f}, "
                f"it has {least} to {most}"
            )


def _chats_of(record_index: RecordIndex, account: int) -> Iterator[list[Entry]]:
    for chat, entries in record_index.recorded.history.items():
        if account in record_index.recorded.members[chat]:
            yield entries


def _must_count(record_index: RecordIndex, shown: UnreadShown, entry: Entry, cut_off: float) -> bool:
    """Returns whether the message must be counted.

    A message that was sent before a connection broke may have been received without a record, so it need not be
    counted.
    """
    acks = record_index.acked.get(entry.text)
    if not acks or acks[0].at > shown.began or record_index.sent[entry.text].at <= cut_off:
        return False
    return (shown.account, entry.text) not in record_index.fetched


def _may_count(record_index: RecordIndex, shown: UnreadShown, entry: Entry) -> bool:
    sent = record_index.sent.get(entry.text)
    if sent is None or sent.at > shown.at:
        return False
    fetched = record_index.fetched.get((shown.account, entry.text))
    if fetched is None or fetched > shown.began - SETTLED_SECONDS:
        return True
    return any(
        healed.began - SETTLED_SECONDS < fetched < healed.at and shown.began < healed.at + SETTLED_SECONDS
        for healed in record_index.healed
    )


def _disturbed(record_index: RecordIndex, shown: UnreadShown) -> bool:
    """Returns whether a fault lasts, or ended so shortly before that the services may not have recovered."""
    since = shown.began - _RECOVERY_SECONDS
    outages = any(healed.at >= since and healed.began <= shown.at for healed in record_index.healed)
    return outages or any(since <= fault.at <= shown.at for fault in record_index.faults)
