"""What a client that comes back lacks: its chats by their last activity, each with its newest messages and with the
changes of messages that the client has, or with nothing but its new state."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from services.message.domain import (
    Cursor,
    change_size,
    from_joining,
    message_size,
    reactions_size,
    unread_range,
)
from services.message.store import Snapshot
from services.message.store.snapshot import Activity
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import MessageChange
from shared.contract.model import Message
from shared.contract.resume import ChatRevision, Resume, Resumed, ResumedChat, fingerprint
from shared.contract.session import ChatEntry

RESUME_BYTES = 55 * 1024
"""Of the messages in one reply, which are less than 100 KiB of JSON. A chat that they do not reach has none: its client
knows which ones it lacks."""

CHANGES_BYTES = 64 * 1024
"""Of the changes in one reply; what does not fit is named, as with messages."""
_CHANGES = 100
"""Of a chat in one reply."""
_NO_MESSAGES = Activity()


def resume(snapshot: Snapshot, request: Resume, listed: Sequence[ChatEntry], max_unread: int) -> Resumed:
    """`listed`: all chats of the account. The first page names those that the account is not in any more."""
    entries = {entry.chat: entry for entry in listed}
    activity = snapshot.activity(entries)
    heads = {chat: activity.get(chat, _NO_MESSAGES) for chat in entries}
    rewound = any(heads[chat].last_index < index for chat, index in request.have.items() if chat in heads)
    rewound = rewound or any(heads[chat].rev < rev for chat, rev in request.revs.items() if chat in heads)
    lacking = {chat for chat, head in heads.items() if _lacks(request, chat, head)}
    lacking |= _with_other_states(snapshot, request, [entry for entry in listed if entry.chat not in lacking])
    behind = sorted(((heads[chat].last_time, chat) for chat in lacking), reverse=True)
    if (before := request.before) is not None:
        behind = [place for place in behind if place < before]
    page = [entries[chat] for _, chat in behind[: request.window]]
    chats = _fitting(_chats(snapshot, request, page, heads, max_unread), request)
    entitled = {entry.chat: entry for entry in page}
    complete = [_with_revision(snapshot, request, chat, entitled[chat.chat], heads[chat.chat].rev) for chat in chats]
    more = len(page) < len(behind)
    gone = [] if request.before is not None else sorted(request.have.keys() - entries.keys())
    return Resumed(snapshot.epoch(), _fitting(complete, request), more, rewound, gone)


def _lacks(request: Resume, chat: ChatId, head: Activity) -> bool:
    """Whether the client lacks messages of the chat, or changes."""
    return request.have.get(chat, -1) < head.last_index or request.revs.get(chat, head.rev) < head.rev


def _with_other_states(snapshot: Snapshot, request: Resume, entries: Sequence[ChatEntry]) -> set[ChatId]:
    """Those of the chats whose states are other ones than the client knows."""
    known = [entry for entry in entries if entry.state and entry.chat in request.states]
    cursors = _cursors(snapshot, request.account, known)
    return {entry.chat for entry in known if _state(entry, cursors[entry.chat]) != request.states[entry.chat]}


def _cursors(snapshot: Snapshot, account: AccountId, entries: Sequence[ChatEntry]) -> dict[ChatId, Cursor]:
    found = snapshot.cursors([(account, entry.chat) for entry in entries])
    return {entry.chat: found.get((account, entry.chat), Cursor()) for entry in entries}


def _state(entry: ChatEntry, cursor: Cursor) -> int:
    """Of an account that has received no more than it has read, the version before made the same number."""
    return fingerprint(entry.state, (cursor.read_index, ())) if entry.state else 0


def _chats(
    snapshot: Snapshot, request: Resume, page: Sequence[ChatEntry], heads: dict[ChatId, Activity], max_unread: int
) -> list[ResumedChat]:
    lacks = {entry.chat: max(entry.first_index, request.have.get(entry.chat, 0) + 1, 1) for entry in page}
    ranges = [
        (chat, max(low, heads[chat].last_index - request.timeline + 1), heads[chat].last_index)
        for chat, low in lacks.items()
    ]
    messages: dict[ChatId, list[Message]] = {}
    for message in snapshot.messages(sorted(ranges)) if request.timeline else ():
        messages.setdefault(message.chat, []).append(message)
    cursors = _cursors(snapshot, request.account, page)
    joined = {
        entry.chat: from_joining(cursors[entry.chat], max(entry.unread_from, entry.first_index)) for entry in page
    }
    unread = [(chat, *unread_range(cursor, heads[chat].last_index, max_unread)) for chat, cursor in joined.items()]
    spans = [span for span in unread if span[1] <= span[2]]
    counts = snapshot.unread(spans, request.account)
    chats: list[ResumedChat] = []
    for entry in page:
        chat, head, (number, mentions) = entry.chat, heads[entry.chat], counts.get(entry.chat, (0, 0))
        resumed = ResumedChat(
            chat, head.last_index, head.last_time, max(entry.first_index, 1), lacks[chat], joined[chat].read_index,
            number, messages.get(chat, []), entry.pair, mentions=mentions,
            state=_state(entry, cursors[chat]),
        )  # fmt: skip
        chats.append(resumed)
    return chats


def _with_revision(snapshot: Snapshot, request: Resume, chat: ResumedChat, entry: ChatEntry, rev: int) -> ResumedChat:
    """With the reactions to its messages, and the changes of messages that the client has."""
    if not rev:
        return chat
    spans = [(chat.chat, one.index, one.index) for one in chat.messages]
    reactions = {index: found for (_, index), found in snapshot.reactions(spans, request.account).items()}
    pins = [index for index in snapshot.pins([chat.chat]).get(chat.chat, ()) if index >= entry.first_index]
    known = request.revs.get(chat.chat, rev)
    changes: list[MessageChange] = []
    if known < rev:
        indexes = (max(entry.first_index, 1), request.have.get(chat.chat, 0))
        changes = snapshot.changes(chat.chat, known, indexes, request.account, _CHANGES + 1)
    revision = ChatRevision(rev, changes[:_CHANGES], None, pins, reactions)
    if len(changes) > _CHANGES:
        revision = replace(revision, sent_up_to=changes[_CHANGES - 1].rev)
    return replace(chat, revision=revision)


def _fitting(chats: Iterable[ResumedChat], request: Resume) -> list[ResumedChat]:
    """The chats with as many of their newest messages, and of their oldest changes, as fit into the reply."""
    left, changes_left, fitting = RESUME_BYTES, CHANGES_BYTES, list[ResumedChat]()
    for chat in chats:
        revision, kept = chat.revision, list[Message]()
        for message in reversed(chat.messages):
            left -= message_size(message)
            left -= 0 if revision is None else reactions_size(revision.reactions.get(message.index))
            if left < 0:
                break
            kept.append(message)
        if revision is not None:
            sent = list[MessageChange]()
            for change in revision.changes:
                changes_left -= change_size(change)
                if changes_left < 0:
                    break
                sent.append(change)
            revision = _cut(revision, kept, sent, request.revs.get(chat.chat, 0))
        fitting.append(replace(chat, messages=kept[::-1], revision=revision))
    return fitting


def _cut(revision: ChatRevision, messages: Sequence[Message], changes: list[MessageChange], known: int) -> ChatRevision:
    """With these messages and changes alone. `known`: the last `rev` of the client."""
    indexes = {message.index for message in messages}
    reactions = {index: found for index, found in revision.reactions.items() if index in indexes}
    if len(changes) < len(revision.changes):
        sent_up_to = changes[-1].rev if changes else known
        return replace(revision, changes=changes, sent_up_to=sent_up_to, reactions=reactions)
    return replace(revision, reactions=reactions)
