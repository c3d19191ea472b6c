"""Finds the messages and changes that a client lacks when it connects again. The reply lists chats, the most recently
active first. Each chat has its newest messages and the changes of messages that the client has, or only its new
state."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import msgspec
from msgspec.structs import replace

from services.message.domain import (
    MESSAGE_OVERHEAD_BYTES,
    Cursor,
    change_size,
    message_size,
    reactions_size,
    take_fitting,
    unread_range,
)
from services.message.service.chat_states import of_member
from services.message.store import Snapshot
from services.message.store.snapshot import Activity, ChangeSpan
from shared.contract.body import EXPIRED_BODY, RECALLED_BODY, unpack
from shared.contract.drafts import DraftPreview
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.message import MessageChange, Reactions
from shared.contract.model import Emoji, File, Image, Message, Text
from shared.contract.resume import KNOWN_STATES, ChatRevision, LastMessage, Resume, Resumed, ResumedChat, fingerprint
from shared.contract.session import ChatEntry

RESUME_BYTES = 55 * 1024
"""The most bytes of messages in one reply. They become less than 100 KiB of JSON. Chats that do not fit are listed
without messages, and the reply shows that the client lacks messages there."""

CHANGES_BYTES = 64 * 1024
"""The most bytes of changes in one reply. If changes do not fit, the reply shows that the client lacks changes."""
_CHANGES, _CHANGES_READ = 100, 3_000
"""The most changes of one chat in a reply, and the most changes that are read for all chats before they are cut to the
reply's size."""
_REVS = 1_000
"""The most changes of a chat that are searched for changes that the client lacks."""
_NO_MESSAGES = Activity()
_SHOWN_CHARACTERS = 120
_KINDS = {Emoji: "emoji", Image: "image", File: "file"}
_WITHOUT_CONTENT = {RECALLED_BODY: "recalled", EXPIRED_BODY: "expired"}
Drafts = Mapping[ChatId, DraftPreview]
"""The drafts of the account."""


def resume(snapshot: Snapshot, request: Resume, listed: Sequence[ChatEntry], max_unread: int) -> Resumed:
    """Makes one page of the reply. `listed`: all chats of the account. The first page also names the chats of which the
    account is no longer a member."""
    listed = [entry for entry in listed if _is_among(request, entry.chat)]
    entries = {entry.chat: entry for entry in listed}
    activity = snapshot.activity(entries)
    heads = {chat: activity.get(chat, _NO_MESSAGES) for chat in entries}
    rewound = any(heads[chat].last_index < index for chat, index in request.have.items() if chat in heads)
    rewound = rewound or any(heads[chat].rev < rev for chat, rev in request.revs.items() if chat in heads)
    lacking = {chat for chat, head in heads.items() if _lacks(request, chat, head)}
    drafts = snapshot.drafts(request.account)
    lacking |= _with_other_states(snapshot, request, [entry for entry in listed if entry.chat not in lacking], drafts)
    behind = sorted(((heads[chat].last_time, chat) for chat in lacking), reverse=True)
    if (before := request.before) is not None:
        behind = [place for place in behind if place < before]
    page = [entries[chat] for _, chat in behind[: request.window]]
    chats = _chats(snapshot, request, page, heads, drafts, max_unread)
    complete = _with_revisions(snapshot, request, chats, heads)
    more = len(page) < len(behind)
    left = sorted(chat for chat in request.have.keys() - entries.keys() if _is_among(request, chat))
    gone = [] if request.before is not None else left
    return Resumed(snapshot.epoch(), _fitting(complete, request), more, rewound, gone)


def _is_among(request: Resume, chat: ChatId) -> bool:
    return request.among is None or request.among[0] <= chat <= request.among[1]


def _lacks(request: Resume, chat: ChatId, head: Activity) -> bool:
    """Whether the client lacks messages of the chat, or changes."""
    return request.have.get(chat, -1) < head.last_index or request.revs.get(chat, head.rev) < head.rev


def _with_other_states(
    snapshot: Snapshot, request: Resume, entries: Sequence[ChatEntry], drafts: Drafts
) -> set[ChatId]:
    """The chats whose states differ from the states that the client knows."""
    known = [entry for entry in entries if entry.state and entry.chat in request.states]
    cursors = _cursors(snapshot, request.account, known)
    states = {entry.chat: _state(entry, cursors[entry.chat], drafts.get(entry.chat)) for entry in known}
    return {chat for chat, state in states.items() if _is_other(state, request.states[chat])}


def _is_other(state: int, known: int) -> bool:
    return not known or (state - known) % KNOWN_STATES != 0


def _cursors(snapshot: Snapshot, account: AccountId, entries: Sequence[ChatEntry]) -> dict[ChatId, Cursor]:
    found = snapshot.cursors([(account, entry.chat) for entry in entries])
    return {entry.chat: found.get((account, entry.chat), Cursor()) for entry in entries}


def _state(entry: ChatEntry, cursor: Cursor, draft: DraftPreview | None) -> int:
    """The state of a chat as a number."""
    own = (*(() if cursor.unread_from is None else (cursor.unread_from,)), *(() if draft is None else ("", draft.rev)))
    return fingerprint(entry.state, (cursor.read_index, own)) if entry.state else 0


def _chats(
    snapshot: Snapshot,
    request: Resume,
    page: Sequence[ChatEntry],
    heads: dict[ChatId, Activity],
    drafts: Drafts,
    max_unread: int,
) -> list[ResumedChat]:
    lacks = {entry.chat: max(entry.first_index, request.have.get(entry.chat, 0) + 1, 1) for entry in page}
    messages: dict[ChatId, list[Message]] = {}
    for message in snapshot.messages(_newest_that_fit(snapshot, lacks, heads, request.timeline)):
        messages.setdefault(message.chat, []).append(message)
    lasts = _last_messages(snapshot, page, heads, messages)
    cursors = _cursors(snapshot, request.account, page)
    joined = {entry.chat: of_member(cursors[entry.chat], entry) for entry in page}
    unread = [(chat, *unread_range(cursor, heads[chat].last_index, max_unread)) for chat, cursor in joined.items()]
    spans = [span for span in unread if span[1] <= span[2]]
    counts = snapshot.unread(spans, request.account)
    chats: list[ResumedChat] = []
    for entry in page:
        chat, head, (number, mentions) = entry.chat, heads[entry.chat], counts.get(entry.chat, (0, 0))
        resumed = ResumedChat(
            chat, head.last_index, head.last_time, max(entry.first_index, 1), lacks[chat], joined[chat].read_index,
            number, messages.get(chat, []), entry.pair, mentions=mentions,
            state=_state(entry, cursors[chat], drafts.get(chat)), unread_from=joined[chat].unread_from or 0,
            draft=drafts.get(chat), last=lasts.get(chat),
        )  # fmt: skip
        chats.append(resumed)
    return chats


def _newest_that_fit(
    snapshot: Snapshot, lacks: Mapping[ChatId, int], heads: Mapping[ChatId, Activity], timeline: int
) -> list[tuple[ChatId, int, int]]:
    """The ranges of the newest messages that fit into the reply. They are chosen by the sizes of the messages, because
    the bodies of all chats together would take too much memory."""
    ranges, most = list[tuple[ChatId, int, int]](), RESUME_BYTES // MESSAGE_OVERHEAD_BYTES
    left = most
    for chat, lacks_from in lacks.items():
        head = heads[chat].last_index
        low = max(lacks_from, head - min(timeline, left) + 1)
        if low <= head:
            ranges.append((chat, low, head))
            left -= head - low + 1
    places = {chat: place for place, chat in enumerate(lacks)}
    found = snapshot.oldest(sorted(ranges), NO_ACCOUNT, most)
    found.sort(key=lambda message: (places[message[0]], -message[1]))
    return take_fitting(found, RESUME_BYTES, MESSAGE_OVERHEAD_BYTES)


def _last_messages(
    snapshot: Snapshot,
    page: Sequence[ChatEntry],
    heads: Mapping[ChatId, Activity],
    read: Mapping[ChatId, list[Message]],
) -> dict[ChatId, LastMessage | None]:
    """The preview of the last message of each chat. `read`: messages that were read for the reply, up to the last
    message of their chats."""
    places = ((entry.chat, heads[entry.chat].last_index, entry.first_index) for entry in page if entry.chat not in read)
    missing = sorted((chat, last, last) for chat, last, first in places if last >= max(first, 1))
    found = chain(snapshot.messages(missing), (messages[-1] for messages in read.values()))
    return {message.chat: last_message(message) for message in found}


def _with_revisions(
    snapshot: Snapshot, request: Resume, chats: Sequence[ResumedChat], heads: Mapping[ChatId, Activity]
) -> list[ResumedChat]:
    """Adds the reactions to the messages, and the changes of messages that the client has."""
    changed = [chat for chat in chats if heads[chat.chat].rev]
    spans = [(chat.chat, one.index, one.index) for chat in changed for one in chat.messages]
    reactions: dict[ChatId, dict[int, Reactions]] = {}
    for (number, index), found in snapshot.reactions(sorted(spans), request.account).items():
        reactions.setdefault(number, {})[index] = found
    pins = snapshot.pins(chat.chat for chat in changed)
    lacking = _lacking_changes(snapshot, request, changed, heads)

    def complete(chat: ResumedChat) -> ResumedChat:
        if not (rev := heads[chat.chat].rev):
            return chat
        pinned = [index for index in pins.get(chat.chat, ()) if index >= chat.first_index]
        changes, sent_up_to = lacking.get(chat.chat, ([], None))
        return replace(chat, revision=ChatRevision(rev, changes, sent_up_to, pinned, reactions.get(chat.chat, {})))

    return [complete(chat) for chat in chats]


def _lacking_changes(
    snapshot: Snapshot, request: Resume, chats: Sequence[ResumedChat], heads: Mapping[ChatId, Activity]
) -> dict[ChatId, tuple[list[MessageChange], int | None]]:
    """For each chat, the first changes that the client lacks, and the `rev` up to which they are complete."""
    spans = [
        ChangeSpan(
            chat.chat, known, min(heads[chat.chat].rev, known + _REVS), chat.first_index, request.have.get(chat.chat, 0)
        )
        for chat in chats
        if (known := request.revs.get(chat.chat, heads[chat.chat].rev)) < heads[chat.chat].rev
    ]
    most = max(1, min(_CHANGES, _CHANGES_READ // max(len(spans), 1)))
    found = snapshot.changes_among(sorted(spans), request.account, most + 1)

    def first(span: ChangeSpan) -> tuple[list[MessageChange], int | None]:
        changes = found.get(span.chat, [])
        if len(changes) > most:
            return changes[:most], changes[most - 1].rev
        return changes, span.upto if span.upto < heads[span.chat].rev else None

    return {span.chat: first(span) for span in spans}


def _fitting(chats: Iterable[ResumedChat], request: Resume) -> list[ResumedChat]:
    """The chats, each with as many of its newest messages and oldest changes as fit into the reply."""
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
    """Reduces the revision to these messages and changes. `known`: the last `rev` that the client has."""
    indexes = {message.index for message in messages}
    reactions = {index: found for index, found in revision.reactions.items() if index in indexes}
    if len(changes) < len(revision.changes):
        sent_up_to = changes[-1].rev if changes else known
        return replace(revision, changes=changes, sent_up_to=sent_up_to, reactions=reactions)
    return replace(revision, reactions=reactions)


def last_message(message: Message) -> LastMessage | None:
    """The preview of a message; None if the message has a segment that this version does not know."""
    if (kind := _WITHOUT_CONTENT.get(message.body)) is not None:
        return LastMessage(message.index, message.sender, "", kind)
    try:
        segments = unpack(message.body).segments
    except msgspec.DecodeError:
        return None
    text = "".join(one.text for one in segments if isinstance(one, Text))
    kinds = [_KINDS[type(one)] for one in segments if type(one) in _KINDS]
    files = [one.media.name for one in segments if isinstance(one, File)]
    shown = text or (files[0] if files else "")
    return LastMessage(message.index, message.sender, shown[:_SHOWN_CHARACTERS], kinds[0] if kinds else "text")
