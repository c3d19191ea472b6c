"""native: the one table of operations. The decoder, the schemas and the documents are made from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import msgspec

from services.edge.canonical.commands import (
    Command,
    CountUnread,
    ExportAccount,
    ExportMessages,
    RenewToken,
    RequestVerification,
)
from services.edge.dialects.native import account_requests, hooks, links, mutes, parameters, requests, results
from services.edge.dialects.native.exports import ExportMessagesParameters, ExportMessagesResult, ExportResult
from services.edge.dialects.native.forwards import ForwardResult
from services.edge.dialects.native.presence import WatchResult
from services.edge.dialects.native.receipts import ReadersParameters, ReadersResult, ReadResult
from services.edge.dialects.native.refreshing import RefreshParameters, RefreshResult
from services.edge.dialects.native.requests import Caller
from services.edge.dialects.native.search import SearchParameters, SearchResult
from shared.contract.auth import DeleteAccount, ListLogins, Logout, Refresh
from shared.contract.contacts import ListBlocked
from shared.contract.ids import ChatId
from shared.contract.session import (
    ListRequests,
)

VERSION = 1


class RateClass(StrEnum):
    """How often a connection may send commands of one kind; see RATES. All of them count for the limits of frames."""

    ENTRANCE = "entrance"
    READ = "read"
    WRITE = "write"
    EXPENSIVE = "expensive"
    EPHEMERAL = "ephemeral"
    LOCAL = "local"


RATES: Mapping[RateClass, tuple[float, int]] = {
    RateClass.ENTRANCE: (1.0, 20),
    RateClass.EXPENSIVE: (2.0, 20),
    RateClass.EPHEMERAL: (2.0, 10),
}
"""Commands each second and at once. The others are limited as frames alone (`limits.requests_per_second`)."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`request` makes the command of the parameters, or the result itself where no service is needed."""

    name: str
    text: str
    rate: RateClass
    parameters: type[parameters.Parameters]
    result: type[msgspec.Struct]
    request: Callable[[Any, Caller], Command | msgspec.Struct]
    needs_login: bool = True


def _hello(_: parameters.HelloParameters, caller: Caller) -> results.HelloResult:
    limits = caller.limits
    shown = results.ServerLimits(
        limits.message_text_bytes, limits.text_frame_bytes, limits.segments_per_message, limits.file_bytes
    )
    return results.HelloResult(VERSION, "dragoman", shown, list(BY_NAME))


_ENTRANCE, _READ, _WRITE, _LOCAL = RateClass.ENTRANCE, RateClass.READ, RateClass.WRITE, RateClass.LOCAL
_Nothing, _NoParameters = results.Nothing, parameters.NoParameters

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "hello", "the version, the limits and the operations of the server",
        _LOCAL, parameters.HelloParameters, results.HelloResult, _hello, False,
    ),
    Operation("ping", "a reply", _LOCAL, _NoParameters, _Nothing, lambda *_: results.Nothing(), False),
    Operation(
        "register", "create an account and log in",
        _ENTRANCE, parameters.RegisterParameters, results.LoginResult, account_requests.register, False,
    ),
    Operation(
        "login", "log in by a password",
        _ENTRANCE, parameters.LoginParameters, results.LoginResult, account_requests.login, False,
    ),
    Operation(
        "token", "log in by a token, or replace the one of the login",
        _ENTRANCE, parameters.TokenParameters, results.TokenResult, lambda *_: RenewToken(), False,
    ),
    Operation(
        "refresh", "a new token and a new refresh token, in place of a refresh token",
        _ENTRANCE, RefreshParameters, RefreshResult, lambda wire, _: Refresh(wire.refresh), False,
    ),
    Operation(
        "verify_mail", "mail the link that the login waits for",
        _ENTRANCE, _NoParameters, _Nothing, lambda *_: RequestVerification(), False,
    ),
    Operation(
        "recover", "a new password by the answer to the security question",
        _ENTRANCE, parameters.RecoverParameters, _Nothing, account_requests.recover, False,
    ),
    Operation(
        "password", "change the password; all other logins end",
        _ENTRANCE, parameters.PasswordParameters, results.LoginResult, account_requests.change_password,
    ),
    Operation(
        "set_security", "the security question, after a login by a secret; an empty answer removes it",
        _WRITE, parameters.SecurityParameters, _Nothing, account_requests.set_security,
    ),
    Operation(
        "sessions", "list the logins of the account",
        _READ, _NoParameters, results.SessionsResult, lambda *_: ListLogins(),
    ),
    Operation(
        "end_session", "end a login of the account",
        _WRITE, parameters.EndSessionParameters, _Nothing, account_requests.end_session,
    ),
    Operation(
        "logout", "end this login; the connection closes", _WRITE, _NoParameters, _Nothing, lambda *_: Logout("")
    ),
    Operation(
        "delete_account", "delete the account and its profile",
        _ENTRANCE, _NoParameters, _Nothing, lambda *_: DeleteAccount(),
    ),
    Operation(
        "export", "all that is stored of the account, but for messages",
        RateClass.EXPENSIVE, _NoParameters, ExportResult, lambda *_: ExportAccount(),
    ),
    Operation(
        "export_messages", "a page of the messages that the account has sent to a chat",
        RateClass.EXPENSIVE, ExportMessagesParameters, ExportMessagesResult,
        lambda wire, _: ExportMessages(ChatId(wire.chat), wire.after),
    ),
    Operation("send", "send a message", _WRITE, parameters.SendParameters, results.SendResult, requests.send),
    Operation(
        "forward", "send the content of a message to other chats",
        RateClass.EXPENSIVE, parameters.ForwardParameters, ForwardResult, requests.forward,
    ),
    Operation(
        "sync", "the chats and messages that the client lacks",
        RateClass.EXPENSIVE, parameters.SyncParameters, results.SyncResult, requests.sync,
    ),
    Operation(
        "history", "a page of messages", _READ, parameters.HistoryParameters, results.HistoryResult, requests.history
    ),
    Operation(
        "changes", "a page of changes of messages",
        _READ, parameters.ChangesParameters, results.ChangesResult, requests.changes,
    ),
    Operation(
        "search", "the messages of the own chats with these words",
        RateClass.EXPENSIVE, SearchParameters, SearchResult, requests.search,
    ),
    Operation("edit", "replace an own message", _WRITE, parameters.EditParameters, results.ChangeResult, requests.edit),
    Operation(
        "recall", "remove the content of a message for everybody",
        _WRITE, parameters.IndexParameters, results.ChangeResult, requests.recall,
    ),
    Operation("react", "add a reaction", _WRITE, parameters.ReactParameters, results.ReactResult, requests.react),
    Operation(
        "unreact", "remove a reaction", _WRITE, parameters.ReactParameters, results.ReactResult, requests.unreact
    ),
    Operation("pin", "pin a message", _WRITE, parameters.IndexParameters, results.ChangeResult, requests.pin),
    Operation("unpin", "unpin a message", _WRITE, parameters.IndexParameters, results.ChangeResult, requests.unpin),
    Operation(
        "read", "mark the messages up to an index as read",
        _WRITE, parameters.ReadParameters, ReadResult, requests.read,
    ),
    Operation(
        "readers", "the members that have read a message, in groups of at most 500",
        RateClass.EXPENSIVE, ReadersParameters, ReadersResult, requests.readers,
    ),
    Operation(
        "unread", "the numbers of unread messages, and of those that mention the account",
        RateClass.EXPENSIVE, _NoParameters, results.UnreadResult, lambda *_: CountUnread(),
    ),
    Operation(
        "typing", "show the other members that the account writes a message; best without `id`",
        RateClass.EPHEMERAL, parameters.TypingParameters, _Nothing, requests.typing,
    ),
    Operation(
        "watch", "show the presence of these accounts, of friends and members of private chats alone",
        RateClass.EXPENSIVE, parameters.WatchParameters, WatchResult, requests.watch,
    ),
    Operation(
        "here", "the own presence, while this connection lasts",
        RateClass.EPHEMERAL, parameters.HereParameters, _Nothing, requests.here,
    ),
    Operation(
        "profile", "the profile of an account",
        _READ, parameters.AccountParameters, results.ProfileResult, requests.profile,
    ),
    Operation(
        "set_profile", "change the own profile",
        _WRITE, parameters.ProfileParameters, _Nothing, requests.set_profile,
    ),
    Operation(
        "find", "the accounts with exactly this number, username or e-mail address",
        RateClass.EXPENSIVE, parameters.FindParameters, results.FindResult, requests.find,
    ),
    Operation("friends", "list the friends", _READ, _NoParameters, results.FriendsResult, requests.friends),
    Operation(
        "requests", "list the requests of others",
        _READ, _NoParameters, results.RequestsResult, lambda *_: ListRequests(),
    ),
    Operation(
        "befriend", "send a friend request", _WRITE, parameters.BefriendParameters, _Nothing, requests.befriend
    ),
    Operation(
        "answer_friend", "answer a friend request",
        _WRITE, parameters.AnswerFriendParameters, _Nothing, requests.answer_friend,
    ),
    Operation("unfriend", "end a friendship", _WRITE, parameters.AccountParameters, _Nothing, requests.unfriend),
    Operation(
        "block", "reject private messages and friend requests of an account",
        _WRITE, parameters.AccountParameters, _Nothing, requests.block,
    ),
    Operation("unblock", "do so no more", _WRITE, parameters.AccountParameters, _Nothing, requests.unblock),
    Operation(
        "blocks", "list the blocked accounts",
        _READ, _NoParameters, results.BlocksResult, lambda *_: ListBlocked(),
    ),
    Operation(
        "open", "find or create the private chat with an account",
        _WRITE, parameters.AccountParameters, results.OpenResult, requests.open_private,
    ),
    Operation("create", "create a group", _WRITE, parameters.CreateParameters, results.ChatResult, requests.create),
    Operation(
        "chat", "a chat and its members", _READ, parameters.ChatParameters, results.ChatResult, requests.chat
    ),
    Operation(
        "set_chat", "change a group: its name, picture and topic, who may join, read receipts",
        _WRITE, parameters.SetChatParameters, _Nothing, requests.set_chat,
    ),
    Operation(
        "mute", "be alerted of no messages of a chat until a time, or of mentions alone",
        _WRITE, mutes.MuteParameters, _Nothing, mutes.mute,
    ),
    Operation(
        "join", "join an open group, or ask to join",
        _WRITE, parameters.JoinParameters, results.JoinResult, requests.join,
    ),
    Operation(
        "answer_join", "answer a request to join",
        _WRITE, parameters.AnswerJoinParameters, _Nothing, requests.answer_join,
    ),
    Operation(
        "invite", "add a friend, or an applicant, to a group",
        _WRITE, parameters.InviteParameters, _Nothing, requests.invite,
    ),
    Operation(
        "link", "a link by which others join a group",
        _WRITE, parameters.LinkParameters, links.InvitationResult, requests.link,
    ),
    Operation(
        "links", "list the links of a group",
        _READ, parameters.ChatParameters, links.InvitationsResult, requests.links,
    ),
    Operation("unlink", "delete a link", _WRITE, parameters.UnlinkParameters, _Nothing, requests.unlink),
    Operation(
        "join_link", "join a group by a link",
        RateClass.EXPENSIVE, parameters.JoinLinkParameters, links.JoinLinkResult, requests.join_link,
    ),
    Operation(
        "create_hook", "an address to which programs post messages of a group",
        _WRITE, hooks.CreateHookParameters, hooks.CreateHookResult, hooks.create_hook,
    ),
    Operation(
        "hooks", "list the hooks of a group",
        _READ, parameters.ChatParameters, hooks.HooksResult, hooks.list_hooks,
    ),
    Operation("delete_hook", "delete a hook", _WRITE, hooks.DeleteHookParameters, _Nothing, hooks.delete_hook),
    Operation("leave", "leave a group", _WRITE, parameters.ChatParameters, _Nothing, requests.leave),
    Operation(
        "kick", "remove a member from a group", _WRITE, parameters.MemberParameters, _Nothing, requests.kick
    ),
    Operation(
        "ban", "remove an account from a group, and keep it out",
        _WRITE, parameters.BanParameters, _Nothing, requests.ban,
    ),
    Operation("unban", "end a ban", _WRITE, parameters.MemberParameters, _Nothing, requests.unban),
    Operation(
        "bans", "list the banned accounts of a group",
        _READ, parameters.ChatParameters, results.BansResult, requests.bans,
    ),
    Operation(
        "silence", "let a member, or all, send nothing until a time",
        _WRITE, parameters.SilenceParameters, _Nothing, requests.silence,
    ),
    Operation("disband", "end a group for all members", _WRITE, parameters.ChatParameters, _Nothing, requests.disband),
    Operation(
        "members", "a page of the members and their roles",
        _READ, parameters.MembersParameters, results.MembersResult, requests.members,
    ),
    Operation("role", "make a member an admin, or not", _WRITE, parameters.RoleParameters, _Nothing, requests.role),
    Operation(
        "transfer", "make a member the owner of a group",
        _WRITE, parameters.MemberParameters, _Nothing, requests.transfer,
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}
