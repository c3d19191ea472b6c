"""native, client to server: the command of each operation's parameters. All raise DecodeError."""

from typing import NamedTuple

from msgspec import UNSET

from services.edge.canonical.commands import (
    AnnounceTyping,
    EditMessage,
    FindUsers,
    ForwardMessage,
    GiveState,
    MarkChatRead,
    PostMessage,
    ReadHistory,
    ResumeChats,
    WatchAccounts,
)
from services.edge.dialects import addresses, validation
from services.edge.dialects.base import DecodeError
from services.edge.dialects.native import parameters as given
from services.edge.dialects.native.messages import ReadersParameters, SearchParameters
from services.edge.dialects.native.parameters import EMOJI_BYTES
from services.edge.dialects.native.results import PingResult
from shared.contract.contacts import AnswerFriendship, EndFriendship, RequestFriendship, SetBlocked
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId
from shared.contract.invitations import CreateLink, DeleteLink, JoinByLink, ListLinks
from shared.contract.members import (
    AddMember,
    AddMembers,
    AnswerMembership,
    EndMembership,
    ListMembers,
    RequestMembership,
    SetRole,
)
from shared.contract.message import ChangeMessage, GetChanges, PinMessage, React, RecallText
from shared.contract.model import Emoji, File, Image, JoinPolicy, Media, Mention, RichSegment, Role, Text
from shared.contract.moderation import BanMember, DisbandChat, ListBans, SetChat, SilenceMember, UnbanMember
from shared.contract.receipts import FindReaders
from shared.contract.search import ContentKind, SearchMessages
from shared.contract.session import CreateChat, GetAccount, GetChat, OpenPrivateChat, RenameChat, SetProfile
from shared.emoji import is_one_cluster
from shared.names import is_valid_name
from shared.settings import LimitsSettings

_JOINER = "\u200d"
_TAGS = frozenset(map(chr, range(0xE0020, 0xE0080)))


class Caller(NamedTuple):
    """The connection that sends a command. `gets_reply`: the command has an id. `unix_ms`: the time."""

    account: AccountId
    limits: LimitsSettings
    gets_reply: bool
    unix_ms: int
    ping_ms: int


def ping(_: given.NoParameters, caller: Caller) -> PingResult:
    return PingResult(caller.unix_ms)


# Messages


def send(wire: given.SendParameters, caller: Caller) -> PostMessage:
    if bool(wire.chat) is bool(wire.to):
        raise DecodeError("either `chat` or `to` names the recipient", field="chat")
    segments, references = _content(wire, caller)
    to = AccountId(wire.to)
    return PostMessage(ChatId(wire.chat), segments, to, references, nonce=wire.nonce, reply_to=wire.reply_to)


def _content(wire: given.SendParameters | given.EditParameters, caller: Caller) -> tuple[tuple[RichSegment, ...], bool]:
    """The segments, and whether they cite media."""
    if bool(wire.text) is bool(wire.segments):
        raise DecodeError("either `text` or `segments` is the message", field="text")
    segments = tuple(map(_segment, wire.segments)) if wire.segments else (Text(wire.text),)
    references = any(isinstance(segment, Image | File) for segment in segments)
    field = "segments" if wire.segments else "text"
    return validation.message_text(segments, caller.limits, field), references


def edit(wire: given.EditParameters, caller: Caller) -> EditMessage:
    segments, references = _content(wire, caller)
    return EditMessage(ChatId(wire.chat), wire.index, segments, wire.nonce, references, wire.if_rev)


def forward(wire: given.ForwardParameters, caller: Caller) -> ForwardMessage:
    into = tuple(ChatId(chat) for chat in dict.fromkeys(wire.into))
    return ForwardMessage(ChatId(wire.chat), wire.index, into, wire.nonce)


def recall(wire: given.IndexParameters, caller: Caller) -> ChangeMessage:
    return ChangeMessage(ChatId(wire.chat), wire.index, RecallText())


def react(wire: given.ReactParameters, caller: Caller) -> ChangeMessage:
    return _reaction(wire, on=True)


def unreact(wire: given.ReactParameters, caller: Caller) -> ChangeMessage:
    return _reaction(wire, on=False)


def _reaction(wire: given.ReactParameters, *, on: bool) -> ChangeMessage:
    if len(wire.emoji.encode()) > EMOJI_BYTES and not is_one_cluster(wire.emoji):
        text = f"a reaction is one emoji, or has at most {EMOJI_BYTES} bytes"
        raise DecodeError(text, ErrorCode.TOO_LARGE, field="emoji")
    if not all(map(_is_shown, wire.emoji)):
        raise DecodeError("an emoji has no white space and no control characters", field="emoji")
    return ChangeMessage(ChatId(wire.chat), wire.index, React(wire.emoji, on))


def _is_shown(character: str) -> bool:
    """Emoji are joined, and flags of regions tagged, by characters that are not printed."""
    return (character.isprintable() and character != " ") or character == _JOINER or character in _TAGS


def pin(wire: given.IndexParameters, caller: Caller) -> ChangeMessage:
    return ChangeMessage(ChatId(wire.chat), wire.index, PinMessage(on=True))


def unpin(wire: given.IndexParameters, caller: Caller) -> ChangeMessage:
    return ChangeMessage(ChatId(wire.chat), wire.index, PinMessage(on=False))


def changes(wire: given.ChangesParameters, caller: Caller) -> GetChanges:
    return GetChanges(ChatId(wire.chat), wire.after)


def search(wire: SearchParameters, caller: Caller) -> SearchMessages:
    return SearchMessages(
        wire.query,
        ChatId(wire.chat or 0),
        AccountId(wire.sender or 0),
        wire.after or 0,
        wire.before or 0,
        ContentKind(wire.has) if wire.has else None,
        wire.count,
        _place(wire.page) if wire.page else None,
    )


def _place(page: str) -> tuple[int, int]:
    time, chat = map(int, page.split("-"))
    return time, chat


def _segment(wire: given.DraftSegment) -> RichSegment:
    match wire:
        case given.TextSegment(text):
            return Text(text)
        case given.EmojiSegment(number):
            return Emoji(number)
        case given.ImageReference(media, name):
            return Image(_referenced(media, name))
        case given.FileReference(media, name):
            return File(_referenced(media, name))
        case given.MentionSegment(account, text):
            return Mention(AccountId(account), text)


def _referenced(media: str, name: str) -> Media:
    return Media(media, name, 0, "", "")


def sync(wire: given.SyncParameters, caller: Caller) -> ResumeChats:
    have = {ChatId(chat): place[0] for chat, place in wire.have.items()}
    revs = {ChatId(chat): place[1] for chat, place in wire.have.items() if len(place) > 1}
    states = {ChatId(chat): state for chat, state in wire.states.items()}
    return ResumeChats(wire.epoch, have, wire.window, wire.timeline, wire.before, revs, states)


def history(wire: given.HistoryParameters, caller: Caller) -> ReadHistory:
    return ReadHistory(ChatId(wire.chat), wire.start, wire.count, wire.dir == "older")


def readers(wire: ReadersParameters, caller: Caller) -> FindReaders:
    return FindReaders(ChatId(wire.chat), wire.index, AccountId(wire.after))


def read(wire: given.ReadParameters, caller: Caller) -> MarkChatRead:
    return MarkChatRead(ChatId(wire.chat), wire.index, counts=caller.gets_reply)


def typing(wire: given.TypingParameters, caller: Caller) -> AnnounceTyping:
    return AnnounceTyping(ChatId(wire.chat), wire.on)


# Users


def profile(wire: given.AccountParameters, caller: Caller) -> GetAccount:
    return GetAccount(AccountId(wire.account))


def watch(wire: given.WatchParameters, caller: Caller) -> WatchAccounts:
    return WatchAccounts(tuple(AccountId(account) for account in dict.fromkeys(wire.accounts)))


def here(wire: given.HereParameters, caller: Caller) -> GiveState:
    if not is_valid_name(wire.text):
        raise DecodeError("the text has control or invisible characters", field="text")
    return GiveState(wire.state, wire.text)


def find(wire: given.FindParameters, caller: Caller) -> FindUsers:
    return FindUsers(wire.query)


def set_profile(wire: given.ProfileParameters, caller: Caller) -> SetProfile:
    changed = SetProfile(caller.account, status=wire.status, icon_id=wire.icon_id, signature=wire.signature)
    if wire.nickname is not UNSET:
        changed.nickname = validation.nickname(wire.nickname, caller.limits)
    if wire.avatar is not UNSET:
        changed.avatar, changed.avatar_hash = addresses.stored_address(wire.avatar, caller.limits), ""
    return changed


def friends(wire: given.NoParameters, caller: Caller) -> GetAccount:
    return GetAccount(caller.account, lists=True)


def befriend(wire: given.BefriendParameters, caller: Caller) -> RequestFriendship:
    return RequestFriendship(AccountId(wire.account), wire.text)


def answer_friend(wire: given.AnswerFriendParameters, caller: Caller) -> AnswerFriendship:
    return AnswerFriendship(AccountId(wire.account), wire.accept)


def unfriend(wire: given.AccountParameters, caller: Caller) -> EndFriendship:
    return EndFriendship(AccountId(wire.account))


def block(wire: given.AccountParameters, caller: Caller) -> SetBlocked:
    return SetBlocked(AccountId(wire.account), blocked=True)


def unblock(wire: given.AccountParameters, caller: Caller) -> SetBlocked:
    return SetBlocked(AccountId(wire.account), blocked=False)


# Chats


def open_private(wire: given.AccountParameters, caller: Caller) -> OpenPrivateChat:
    return OpenPrivateChat(AccountId(wire.account))


def create(wire: given.CreateParameters, caller: Caller) -> CreateChat:
    return CreateChat(
        [AccountId(member) for member in wire.members],
        wire.name and validation.group_name(wire.name, caller.limits),
        addresses.stored_address(wire.avatar, caller.limits),
        join_policy=JoinPolicy(wire.join_policy),
        nonce=wire.nonce or "",
    )


def chat(wire: given.ChatParameters, caller: Caller) -> GetChat:
    return GetChat(ChatId(wire.chat))


def set_chat(wire: given.SetChatParameters, caller: Caller) -> RenameChat | SetChat:
    changed = SetChat(ChatId(wire.chat))
    if wire.name is not None:
        changed.name = validation.group_name(wire.name, caller.limits)
    if wire.avatar is not None:
        changed.avatar, changed.avatar_hash = addresses.stored_address(wire.avatar, caller.limits), ""
    if wire.topic is not None:
        changed.topic = validation.topic(wire.topic, caller.limits)
    if wire.join_policy is not None:
        changed.join_policy = JoinPolicy(wire.join_policy)
    if wire.receipts is not None:
        changed.receipts = wire.receipts
    changed.edit_seconds, changed.recall_seconds = wire.edit_s, wire.recall_s
    changed.history_for_new = wire.history_for_new
    if changed == SetChat(changed.chat):
        raise DecodeError("there is nothing to change", field="name")
    if isinstance(changed.name, str) and changed == SetChat(changed.chat, changed.name):
        return RenameChat(changed.chat, changed.name)
    return changed


def join(wire: given.JoinParameters, caller: Caller) -> RequestMembership:
    return RequestMembership(ChatId(wire.chat), wire.text)


def answer_join(wire: given.AnswerJoinParameters, caller: Caller) -> AnswerMembership:
    return AnswerMembership(ChatId(wire.chat), AccountId(wire.account), wire.accept)


def invite(wire: given.InviteParameters, caller: Caller) -> AddMember | AddMembers:
    if (wire.account is None) is not bool(wire.accounts):
        raise DecodeError("either `account` or `accounts` names who is added", field="accounts")
    if wire.account is not None:
        return AddMember(ChatId(wire.chat), AccountId(wire.account))
    return AddMembers(ChatId(wire.chat), [AccountId(account) for account in dict.fromkeys(wire.accounts)])


def link(wire: given.LinkParameters, caller: Caller) -> CreateLink:
    return CreateLink(ChatId(wire.chat), wire.uses, wire.expires, nonce=wire.nonce or "")


def links(wire: given.ChatParameters, caller: Caller) -> ListLinks:
    return ListLinks(ChatId(wire.chat))


def unlink(wire: given.UnlinkParameters, caller: Caller) -> DeleteLink:
    return DeleteLink(ChatId(wire.chat), wire.link)


def join_link(wire: given.JoinLinkParameters, caller: Caller) -> JoinByLink:
    return JoinByLink(wire.link)


def leave(wire: given.ChatParameters, caller: Caller) -> EndMembership:
    return EndMembership(ChatId(wire.chat), caller.account)


def kick(wire: given.MemberParameters, caller: Caller) -> EndMembership:
    if wire.account == caller.account:
        raise DecodeError("`leave` ends the own membership", field="account")
    return EndMembership(ChatId(wire.chat), AccountId(wire.account))


def ban(wire: given.BanParameters, caller: Caller) -> BanMember:
    return BanMember(ChatId(wire.chat), AccountId(wire.account), wire.until)


def unban(wire: given.MemberParameters, caller: Caller) -> UnbanMember:
    return UnbanMember(ChatId(wire.chat), AccountId(wire.account))


def bans(wire: given.ChatParameters, caller: Caller) -> ListBans:
    return ListBans(ChatId(wire.chat))


def silence(wire: given.SilenceParameters, caller: Caller) -> SilenceMember:
    return SilenceMember(ChatId(wire.chat), AccountId(wire.account), wire.until)


def disband(wire: given.ChatParameters, caller: Caller) -> DisbandChat:
    return DisbandChat(ChatId(wire.chat))


def members(wire: given.MembersParameters, caller: Caller) -> ListMembers:
    return ListMembers(ChatId(wire.chat), AccountId(wire.after), since=wire.since)


def role(wire: given.RoleParameters, caller: Caller) -> SetRole:
    role = Role.ADMIN if wire.role == "admin" else Role.MEMBER
    return SetRole(ChatId(wire.chat), AccountId(wire.account), role)


def transfer(wire: given.MemberParameters, caller: Caller) -> SetRole:
    return SetRole(ChatId(wire.chat), AccountId(wire.account), Role.OWNER)
