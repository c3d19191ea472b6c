"""native, server to client: results and events of canonical values."""

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import Command
from services.edge.canonical.events import ChatJoined
from services.edge.canonical.replies import (
    AccountExported,
    ChangesPage,
    ChatsResumed,
    ChatToResume,
    DisplayChange,
    DisplayMessage,
    HistoryPage,
    MessagesExported,
    PasswordChanged,
)
from services.edge.dialects.addresses import DisplayedAvatar, displayed_avatar
from services.edge.dialects.native import bots, events, made, mutes, results
from services.edge.dialects.native.exports import ExportMessagesResult, ExportResult
from services.edge.dialects.native.messages import FoundMessage, SearchResult, UnreadChat, UnreadResult, report_info
from services.edge.dialects.native.parameters import Id
from services.edge.dialects.native.refreshing import RefreshResult
from services.edge.dialects.text_fallback import only_text
from shared.contract.auth import Authenticated, Logins, LoginView, Refreshed
from shared.contract.contacts import Requests
from shared.contract.ephemeral import ChatSettingsChanged, PresenceChanged
from shared.contract.ids import ChatId
from shared.contract.message import Changed, ChangeKind, ChangeMessage, React, Reactions, Unread
from shared.contract.model import Chat, Message, Profile, Recalled, Role
from shared.contract.resume import ChatRevision
from shared.contract.search import SearchPage
from shared.contract.session import ChatView
from shared.message_event import MessageEvent, SenderInfo, ShownMessage, ShownSegment, ShownText, shown_segment

T = TypeVar("T")

ROLES = {Role.LEFT: "left", Role.MEMBER: "member", Role.ADMIN: "admin", Role.OWNER: "owner"}


def logged_in(answer: Authenticated, unix_ms: int) -> results.LoginResult:
    place = answer.account, answer.sid, answer.token, results.unix_ms_of(answer.expires), answer.uuid, answer.nickname
    shown = results.LoginResult(*place, time=unix_ms)
    if answer.refresh:
        shown.refresh, shown.refresh_expires = answer.refresh, results.unix_ms_of(answer.refresh_expires)
    return shown


def password_changed(reply: PasswordChanged, unix_ms: int) -> made.PasswordResult:
    shown = msgspec.structs.asdict(logged_in(reply.login, unix_ms))
    return made.PasswordResult(**shown, made=made.count(reply.made))


def refreshed(reply: Refreshed, unix_ms: int) -> RefreshResult:
    tokens = reply.token, results.unix_ms_of(reply.expires), reply.refresh, results.unix_ms_of(reply.refresh_expires)
    return RefreshResult(reply.account, reply.sid, *tokens, unix_ms)


def sessions(logins: Logins, sid: str) -> results.SessionsResult:
    """`sid`: of this connection."""
    return results.SessionsResult([_session(login, here=login.sid == sid) for login in logins.logins])


def _session(login: LoginView, *, here: bool) -> results.SessionInfo:
    times = login.created, results.unix_ms_of(login.expires)
    return results.SessionInfo(login.sid, *times, login.address, login.client, here, login.device)


def exported(reply: AccountExported, sid: str, base_url: str) -> ExportResult:
    record, view = reply.record, reply.view
    return ExportResult(
        account=view.profile.id,
        email=record.email,
        email_verified=record.email_verified,
        username=record.username,
        created=record.created,
        question_id=record.question_id,
        exported=reply.exported,
        profile=profile(view.profile, base_url),
        friends=[*(view.friends or ())],
        requests=requests(reply.requests),
        blocks=[*reply.blocked.accounts],
        chats=[*(view.chats or ())],
        left_chats=[*(view.left or ())],
        sessions=sessions(Logins(record.logins), sid).sessions,
        bots=bots.infos(record.bots),
        reports=[*map(report_info, reply.reports.reports)],
        hooks=made.hooks(reply.made),
        links=made.links(reply.made),
    )


def exported_messages(reply: MessagesExported, base_url: str) -> ExportMessagesResult:
    messages = [ShownMessage(*_fields(shown, base_url)) for shown in reply.messages]
    return ExportMessagesResult(messages, reply.after, reply.more)


# Messages


def event(shown: DisplayMessage, base_url: str) -> MessageEvent:
    """By a short way for most messages, which are one text; `_fields` is the reference."""
    text = only_text(shown.segments)
    if text is None or shown.rich is not None or shown.edited or shown.reactions is not None or shown.reply_to:
        return MessageEvent(*_fields(shown, base_url))
    one, summary = shown.message, shown.summary
    to = UNSET if shown.to is None else shown.to
    face = UNSET if summary is None else SenderInfo(summary.nickname, summary.uuid)
    return MessageEvent(one.chat, one.index, one.id, one.sender, one.time, [ShownText(text)], to, face)


def history(page: HistoryPage, base_url: str) -> results.HistoryResult:
    messages = [ShownMessage(*_fields(shown, base_url)) for shown in page.messages]
    return results.HistoryResult(messages, page.head, page.more, page.rev)


def changed(reply: Changed, command: Command) -> results.ChangeResult | results.ReactResult:
    if isinstance(command, ChangeMessage) and isinstance(command.change, React):
        return results.ReactResult(reply.rev, reply.count)
    return results.ChangeResult(reply.rev, reply.time)


def search(page: SearchPage) -> SearchResult:
    hits = [
        FoundMessage(one.chat, one.index, one.id, one.sender, one.time, one.snippet, one.marks) for one in page.hits
    ]
    return SearchResult(hits, page.indexed_to, UNSET if page.next is None else "{}-{}".format(*page.next))


def changes(page: ChangesPage, base_url: str) -> results.ChangesResult:
    shown = [results.ShownChange(*_change_fields(one, base_url)) for one in page.changes]
    return results.ChangesResult(shown, page.rev, page.more)


def changed_event(shown: DisplayChange, base_url: str) -> events.ChangedEvent:
    return events.ChangedEvent(*_change_fields(shown, base_url))


def sync(reply: ChatsResumed, base_url: str) -> results.SyncResult:
    return results.SyncResult(
        reply.epoch,
        reply.reset,
        [_head(one, base_url) for one in reply.chats],
        [*reply.gone],
        [*reply.away],
        UNSET if reply.before is None else [*reply.before],
    )


def synced(reply: ChatsResumed, base_url: str) -> list[msgspec.Struct]:
    """The events after the reply: the messages of each chat, then its changes; then the end."""
    shown_events: list[msgspec.Struct] = []
    for one in reply.chats:
        shown_events += [event(shown, base_url) for shown in one.messages]
        shown_events += [changed_event(shown, base_url) for shown in one.changes]
    changes = sum(len(one.changes) for one in reply.chats)
    return [*shown_events, events.SyncedEvent(len(reply.chats), len(shown_events) - changes, changes)]


def _head(one: ChatToResume, base_url: str) -> results.ChatHead:
    chat, state = one.chat, one.state
    present = state.messages[0].index if state.messages else state.head + 1
    revision = state.revision or ChatRevision(0)
    muted_until, mentions_only = mutes.fields(one.mute)
    return results.ChatHead(
        chat=chat.id,
        kind=chat.kind.value,
        name=chat.name,
        avatar=_chat_avatar(chat, base_url),
        owner=chat.owner,
        join_policy=chat.join_policy.value,
        version=chat.version,
        head=state.head,
        time=state.time,
        first=state.first_index,
        read=state.read_index,
        unread=state.unread,
        rev=revision.rev,
        gap=results.Gap(state.lacks_from, present - 1) if state.lacks_from < present else UNSET,
        changes_after=UNSET if revision.sent_up_to is None else revision.sent_up_to,
        pins=revision.pins or UNSET,
        mentions=state.mentions or UNSET,
        topic=chat.topic or UNSET,
        members=UNSET if state.pair is None else [*state.pair],
        face=UNSET if one.other is None else SenderInfo(one.other.nickname, one.other.uuid),
        muted_until=muted_until,
        mentions_only=mentions_only,
        role=UNSET if one.role is None else ROLES[one.role],
        receipts=UNSET if chat.receipts else False,
        edit_s=_if_set(chat.edit_seconds),
        recall_s=_if_set(chat.recall_seconds),
        history_for_new=_if_set(chat.history_for_new),
        state=state.state or UNSET,
    )


def unread(reply: Unread) -> UnreadResult:
    chats = [UnreadChat(chat, *counts) for chat, counts in sorted(reply.chats.items())]
    return UnreadResult(reply.total, sum(chat.mentions for chat in chats), chats)


def _chat_avatar(chat: Chat, base_url: str) -> str:
    return _avatar_address(chat.id, chat.avatar, chat.avatar_hash, base_url)


def _avatar_address(chat: ChatId, avatar: str, avatar_hash: str, base_url: str) -> str:
    stored = DisplayedAvatar(avatar, avatar_hash)
    return displayed_avatar("chat", chat, stored, base_url, own_only=False).avatar


def sent(number: Id, message: Message, *, again: bool) -> results.SentReply:
    """`number`: the id of the command."""
    return results.SentReply(number, message.chat, message.index, message.id, message.time, again or UNSET)


def _fields(shown: DisplayMessage, base_url: str) -> tuple[Any, ...]:
    """Of a ShownMessage."""
    message, summary = shown.message, shown.summary
    face = UNSET if summary is None else SenderInfo(summary.nickname, summary.uuid)
    to = UNSET if shown.to is None else shown.to
    place = message.chat, message.index, message.id, message.sender, message.time
    recalled = shown.segments == (Recalled(),)
    segments = [] if recalled else [shown_segment(segment, base_url) for segment in shown.rich or shown.segments]
    reactions, reply_to = _reactions(shown.reactions), shown.reply_to or UNSET
    return *place, segments, to, face, shown.edited or UNSET, recalled or UNSET, *reactions, reply_to


def _reactions(found: Reactions | None) -> tuple[dict[str, int] | UnsetType, list[str] | UnsetType]:
    return (UNSET, UNSET) if found is None else (found.counts, found.mine)


def _change_fields(shown: DisplayChange, base_url: str) -> tuple[Any, ...]:
    """Of a ShownChange."""
    one = shown.change
    reactions: dict[str, int] | UnsetType = UNSET
    mine: list[str] | UnsetType = UNSET
    segments: list[ShownSegment] | UnsetType = UNSET
    emoji: str | UnsetType = UNSET
    on: bool | UnsetType = UNSET
    match one.kind:
        case ChangeKind.EDIT:
            segments = [shown_segment(segment, base_url) for segment in shown.segments]
        case ChangeKind.REACTION:
            reactions, mine = one.reactions, UNSET if one.mine is None else one.mine
            emoji, on = (one.emoji, one.on) if one.emoji else (UNSET, UNSET)
        case ChangeKind.PIN:
            on = one.on
        case ChangeKind.RECALL:
            pass
    place = one.chat, one.rev, one.index, one.kind.value, one.by, one.time
    return *place, segments, reactions, mine, emoji, on


# Users, groups


def profile(shown: Profile, base_url: str) -> results.ProfileResult:
    return results.ProfileResult(*_profile_fields(shown, base_url))


def profile_event(shown: Profile, base_url: str) -> events.ProfileEvent:
    return events.ProfileEvent(*_profile_fields(shown, base_url))


def _profile_fields(shown: Profile, base_url: str) -> tuple[int, str, str, str, str, int, int, bool, bool | UnsetType]:
    stored = DisplayedAvatar(shown.avatar, shown.avatar_hash)
    avatar = displayed_avatar("account", shown.id, stored, base_url, own_only=False).avatar
    return (
        shown.id, shown.uuid, shown.nickname, avatar, shown.signature, shown.status, shown.icon_id, shown.deleted,
        shown.bot or UNSET,
    )  # fmt: skip


def presence_info(one: PresenceChanged) -> events.PresenceInfo:
    return events.PresenceInfo(one.account, one.state, one.since or UNSET, one.text or UNSET)


def presence_event(one: PresenceChanged) -> events.PresenceEvent:
    return events.PresenceEvent(one.account, one.state, one.since or UNSET, one.text or UNSET)


def requests(pending: Requests) -> results.RequestsResult:
    return results.RequestsResult(
        [results.FriendRequest(one.applicant, one.text) for one in pending.friendships],
        [results.JoinRequest(one.applicant, one.chat, one.text) for one in pending.memberships],
    )


def chat(view: ChatView, base_url: str) -> results.ChatResult:
    return results.ChatResult(*_chat_fields(view, base_url))


def chat_event(joined: ChatJoined, view: ChatView, base_url: str) -> events.ChatEvent:
    event = events.ChatEvent(*_chat_fields(view, base_url))
    if joined.head is not None and joined.first is not None and joined.rev is not None:
        event.head, event.first, event.rev = joined.head, joined.first, joined.rev
    return event


def settings_event(changed: ChatSettingsChanged, base_url: str) -> events.SettingsEvent:
    avatar = _avatar_address(changed.chat, changed.avatar, changed.avatar_hash, base_url)
    policy = changed.join_policy.value
    rules = changed.edit_seconds, changed.recall_seconds, changed.history_for_new
    return events.SettingsEvent(changed.chat, changed.by, avatar, changed.topic, policy, changed.receipts, *rules)


def _chat_fields(view: ChatView, base_url: str) -> tuple[Any, ...]:
    """Of a ChatResult."""
    one = view.chat
    avatar = _chat_avatar(one, base_url)
    members = [int(member) for member in view.members]
    policy = one.join_policy.value
    return (
        one.id, one.kind.value, one.name, avatar, one.owner, policy, one.created, one.version, members, one.receipts,
        one.topic, *mutes.fields(view.mute), _if_set(one.edit_seconds), _if_set(one.recall_seconds),
        _if_set(one.history_for_new),
    )  # fmt: skip


def _if_set(value: T | None) -> T | UnsetType:
    return UNSET if value is None else value
