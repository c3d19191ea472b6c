"""The invariant of unread counts: a login shows those messages that the account has not received; pure."""

from collections.abc import Iterator

from tests.drills.indexed_trial import IndexedTrial
from tests.drills.records import Entry, UnreadShown

SETTLED_SECONDS = 15.0
"""A message that was received longer ago is read: nobody counts it any more."""
_RECOVERY_SECONDS = 10.0
_MOST_PER_CHAT = 10_000
"""`message.pushed_per_chat`"""


def counted(trial_index: IndexedTrial) -> Iterator[str]:
    """A sleeper's count is at least the number of messages that were acknowledged before its login and that it has
    never received, at most the number of those that were sent before the reply and not received long ago. Nothing can
    be counted during a fault: the login then shows 0. Nor can what was received just before be stored as read."""
    for shown in trial_index.unread_shown:
        if not shown.count and _disturbed(trial_index, shown):
            continue
        cut_off = max((at for at in trial_index.sleepers_cut_off[shown.account] if at < shown.at), default=0.0)
        least = most = 0
        for entries in _chats_of(trial_index, shown.account):
            others = [entry for entry in entries if entry.sender != shown.account]
            due = sum(_must_count(trial_index, shown, entry, cut_off) for entry in others)
            least += min(due, _MOST_PER_CHAT)
            most += sum(_may_count(trial_index, shown, entry) for entry in others)
        if not least <= shown.count <= most:
            yield (
                f"account {shown.account} was told of {shown.count} unread messages at {shown.at:.2f}, "
                f"it has {least} to {most}"
            )


def _chats_of(trial_index: IndexedTrial, account: int) -> Iterator[list[Entry]]:
    for chat, entries in trial_index.trial.history.items():
        if account in trial_index.trial.members[chat]:
            yield entries


def _must_count(trial_index: IndexedTrial, shown: UnreadShown, entry: Entry, cut_off: float) -> bool:
    """Messages that were sent before a connection broke may have been received without a trace."""
    acks = trial_index.acked.get(entry.text)
    if not acks or acks[0].at > shown.began or trial_index.sent[entry.text].at <= cut_off:
        return False
    return (shown.account, entry.text) not in trial_index.fetched


def _may_count(trial_index: IndexedTrial, shown: UnreadShown, entry: Entry) -> bool:
    sent = trial_index.sent.get(entry.text)
    if sent is None or sent.at > shown.at:
        return False
    fetched = trial_index.fetched.get((shown.account, entry.text))
    if fetched is None or fetched > shown.began - SETTLED_SECONDS:
        return True
    return any(
        healed.began - SETTLED_SECONDS < fetched < healed.at and shown.began < healed.at + SETTLED_SECONDS
        for healed in trial_index.healed
    )


def _disturbed(trial_index: IndexedTrial, shown: UnreadShown) -> bool:
    """Whether a fault lasts, or has ended so lately that the services need not have recovered."""
    since = shown.began - _RECOVERY_SECONDS
    outages = any(healed.at >= since and healed.began <= shown.at for healed in trial_index.healed)
    return outages or any(since <= fault.at <= shown.at for fault in trial_index.faults)
