"""Puts replies of several databases together, pure: in the order of chats or of times, as one database would reply."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from services.message.domain import UNREAD_OVERHEAD_BYTES, chat_size, message_size
from shared.contract.ids import AccountId, ChatId
from shared.contract.message import ChatSync, Synced, SyncedPart, Unread
from shared.contract.model import Message
from shared.contract.search import SearchPage
from shared.contract.session import ChatEntry, ChatList

_EVERY_CHAT = ChatId(2**63)


def merge_syncs(
    lists: Mapping[AccountId, ChatList],
    placed: Mapping[str, Collection[ChatId]],
    parts: Mapping[str, SyncedPart | None],
    reply_bytes: int,
) -> dict[AccountId, Synced]:
    """The pages of as many of the accounts as fit into a reply, at least the first. `placed`: the chats of all lists by
    database; `parts`: the databases' replies, None from one that is away."""
    merged: dict[AccountId, Synced] = {}
    away = {chat for database, part in parts.items() if part is None for chat in placed[database]}
    left = reply_bytes
    for account, listed in lists.items():
        involved = {database for database, chats in placed.items() if any(one.chat in chats for one in listed.entries)}
        replies = [part.accounts.get(account) for name, part in parts.items() if part is not None and name in involved]
        pages = [page for page in replies if page is not None]
        if merged and (left <= 0 or len(pages) < len(replies)):
            break
        page = _merge_account(listed, pages, away, left, first=not merged)
        left -= sum(map(_sync_size, page.chats))
        merged[account] = page
    return merged


def _merge_account(
    listed: ChatList, pages: Sequence[Synced], away: Collection[ChatId], left: int, *, first: bool
) -> Synced:
    """No chat is on the page after one that another database left out: the next page begins after the last chat."""
    bound = min((page.chats[-1].chat for page in pages if page.more and page.chats), default=_EVERY_CHAT)
    chats: list[ChatSync] = []
    for one in sorted((one for page in pages for one in page.chats if one.chat <= bound), key=lambda one: one.chat):
        left -= _sync_size(one)
        if left < 0 and chats:
            bound = chats[-1].chat
            break
        chats.append(one)
    missing = {one.chat: one.pair for one in listed.entries if one.chat in away and one.chat <= bound}
    return Synced(chats, more=listed.more or bound < _EVERY_CHAT, away=missing)


def _sync_size(one: ChatSync) -> int:
    return chat_size(len(one.read)) + sum(map(message_size, one.messages))


def merge_unread(parts: Iterable[Unread], count: int, reply_bytes: int) -> Unread:
    """The oldest `count` messages. None is in the reply that is newer than one which another database left out."""
    parts = list(parts)
    messages = sorted(
        (message for part in parts for message in part.messages), key=lambda message: (message.time, message.id)
    )
    bounds = [
        (part.messages[-1].time, part.messages[-1].id)
        for part in parts
        if part.messages and len(part.messages) < min(count, part.total)
    ]
    fitting: list[Message] = []
    for message in messages[:count]:
        reply_bytes -= len(message.body) + UNREAD_OVERHEAD_BYTES
        if fitting and (reply_bytes < 0 or (bounds and (message.time, message.id) > min(bounds))):
            break
        fitting.append(message)
    chats = {message.chat for message in fitting}
    pairs = {chat: pair for part in parts for chat, pair in part.pairs.items() if chat in chats}
    counts = {chat: found for part in parts for chat, found in part.chats.items()}
    return Unread(sum(part.total for part in parts), fitting, pairs, counts)


def split_entries(entries: Iterable[ChatEntry], chats: Collection[ChatId]) -> list[ChatEntry]:
    """The entries of these chats."""
    return [entry for entry in entries if entry.chat in chats]


def merge_searches(parts: Iterable[SearchPage], count: int, *, away: bool) -> SearchPage:
    """The newest `count` hits. None is in the reply that is older than what another database has left out."""
    parts = list(parts)
    bound = max((part.next for part in parts if part.next is not None), default=None)
    hits = sorted((hit for part in parts for hit in part.hits), key=lambda hit: (hit.time, hit.chat), reverse=True)
    hits = [hit for hit in hits if bound is None or (hit.time, hit.chat) >= bound]
    if len(hits) > count:
        hits = hits[:count]
        bound = hits[-1].time, hits[-1].chat
    return SearchPage(hits, 0 if away else min(part.indexed_to for part in parts), bound)
