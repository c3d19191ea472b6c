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
from services.edge.dialects.native import (
    account_requests,
    bots,
    hooks,
    links,
    mutes,
    outgoing_hooks,
    parameters,
    reports,
    requests,
    results,
)
from services.edge.dialects.native.exports import ExportMessagesParameters, ExportMessagesResult, ExportResult
from services.edge.dialects.native.forwards import ForwardResult
from services.edge.dialects.native.presence import WatchResult
from services.edge.dialects.native.receipts import ReadersParameters, ReadersResult, ReadResult
from services.edge.dialects.native.refreshing import RefreshParameters, RefreshResult
from services.edge.dialects.native.requests import Caller
from services.edge.dialects.native.search import SearchParameters, SearchResult
from shared.contract.auth import ListLogins, Logout, Refresh
from shared.contract.bots import ListBots, TokenScope
from shared.contract.contacts import ListBlocked
from shared.contract.ids import ChatId
from shared.contract.session import ListRequests

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
    """`scopes`: what the token of a bot needs; None: no bot may. `request` makes the command of the parameters, or the
    result itself where no service is needed."""

    name: str
    text: str
    rate: RateClass
    scopes: frozenset[TokenScope] | None
    parameters: type[parameters.Parameters]
    result: type[msgspec.Struct]
    request: Callable[[Any, Caller], Command | msgspec.Struct]
    needs_login: bool = True

    def rejection(self, held: frozenset[TokenScope] | None) -> str:
        """Why a token does not permit the operation; empty if it does. `held`: its scopes, None of a user's."""
        if held is None:
            return ""
        if self.scopes is None:
            return "no token of a bot permits this"
        missing = " ".join(sorted(self.scopes - held))
        return f"the token lacks the scope {missing}" if missing else ""


def _hello(_: parameters.HelloParameters, caller: Caller) -> results.HelloResult:
    limits = caller.limits
    shown = results.ServerLimits(
        limits.message_text_bytes, limits.text_frame_bytes, limits.segments_per_message, limits.file_bytes
    )
    return results.HelloResult(VERSION, "dragoman", shown, list(BY_NAME), caller.unix_ms, caller.ping_ms)


_ENTRANCE, _READ, _WRITE, _LOCAL = RateClass.ENTRANCE, RateClass.READ, RateClass.WRITE, RateClass.LOCAL
_Nothing, _NoParameters = results.Nothing, parameters.NoParameters
_USERS, _ANY = None, frozenset[TokenScope]()
_SENDS, _READS, _REACTS, _MANAGES = (frozenset({scope}) for scope in TokenScope)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "hello", "the version, the limits and the operations of the server",
        _LOCAL, _ANY, parameters.HelloParameters, results.HelloResult, _hello, False,
    ),
    Operation("ping", "the time", _LOCAL, _ANY, _NoParameters, results.PingResult, requests.ping, False),
    Operation(
        "register", "create an account and log in",
        _ENTRANCE, _USERS, parameters.RegisterParameters, results.LoginResult, account_requests.register, False,
    ),
    Operation(
        "login", "log in by a password",
        _ENTRANCE, _USERS, parameters.LoginParameters, results.LoginResult, account_requests.login, False,
    ),
    Operation(
        "token", "log in by a token, or replace the one of the login",
        _ENTRANCE, _ANY, parameters.TokenParameters, results.TokenResult, lambda *_: RenewToken(), False,
    ),
    Operation(
        "refresh", "a new token and a new refresh token, in place of a refresh token",
        _ENTRANCE, _USERS, RefreshParameters, RefreshResult, lambda wire, _: Refresh(wire.refresh), False,
    ),
    Operation(
        "verify_mail", "mail the link that the login waits for",
        _ENTRANCE, _USERS, _NoParameters, _Nothing, lambda *_: RequestVerification(), False,
    ),
    Operation(
        "recover", "a new password by the answer to the security question",
        _ENTRANCE, _USERS, parameters.RecoverParameters, _Nothing, account_requests.recover, False,
    ),
    Operation(
        "password", "change the password; all other logins end",
        _ENTRANCE, _USERS, parameters.PasswordParameters, results.LoginResult, account_requests.change_password,
    ),
    Operation(
        "set_security", "the security question, after a login by a secret; an empty answer removes it",
        _WRITE, _USERS, parameters.SecurityParameters, _Nothing, account_requests.set_security,
    ),
    Operation(
        "sessions", "list the logins of the account",
        _READ, _USERS, _NoParameters, results.SessionsResult, lambda *_: ListLogins(),
    ),
    Operation(
        "end_session", "end a login of the account",
        _WRITE, _USERS, parameters.EndSessionParameters, _Nothing, account_requests.end_session,
    ),
    Operation(
        "logout", "end this login; the connection closes",
        _WRITE, _USERS, _NoParameters, _Nothing, lambda *_: Logout(""),
    ),
    Operation(
        "delete_account", "delete the account and its profile, by its password",
        _ENTRANCE, _USERS, parameters.DeleteAccountParameters, _Nothing, account_requests.delete_account,
    ),
    Operation(
        "create_bot", "create an account of a program; it logs in by tokens alone",
        _ENTRANCE, _USERS, bots.CreateBotParameters, bots.CreateBotResult, bots.create_bot,
    ),
    Operation(
        "bots", "list the own bots and their tokens",
        _READ, _USERS, _NoParameters, bots.BotsResult, lambda *_: ListBots(),
    ),
    Operation(
        "delete_bot", "delete an own bot as an account; its connections end",
        _ENTRANCE, _USERS, parameters.AccountParameters, _Nothing, bots.delete_bot,
    ),
    Operation(
        "create_bot_token", "a token of an own bot, for `token` and for requests by HTTP",
        _ENTRANCE, _USERS, bots.CreateBotTokenParameters, bots.CreateBotTokenResult, bots.create_bot_token,
    ),
    Operation(
        "delete_bot_token", "revoke a token; its connections end",
        _WRITE, _USERS, bots.DeleteBotTokenParameters, _Nothing, bots.delete_bot_token,
    ),
    Operation(
        "export", "all that is stored of the account, but for messages",
        RateClass.EXPENSIVE, _USERS, _NoParameters, ExportResult, lambda *_: ExportAccount(),
    ),
    Operation(
        "export_messages", "a page of the messages that the account has sent to a chat",
        RateClass.EXPENSIVE, _USERS, ExportMessagesParameters, ExportMessagesResult,
        lambda wire, _: ExportMessages(ChatId(wire.chat), wire.after),
    ),
    Operation("send", "send a message", _WRITE, _SENDS, parameters.SendParameters, results.SendResult, requests.send),
    Operation(
        "forward", "send the content of a message to other chats",
        RateClass.EXPENSIVE, _SENDS | _READS, parameters.ForwardParameters, ForwardResult, requests.forward,
    ),
    Operation(
        "sync", "the chats and messages that the client lacks",
        RateClass.EXPENSIVE, _READS, parameters.SyncParameters, results.SyncResult, requests.sync,
    ),
    Operation(
        "history", "a page of messages",
        _READ, _READS, parameters.HistoryParameters, results.HistoryResult, requests.history,
    ),
    Operation(
        "changes", "a page of changes of messages",
        _READ, _READS, parameters.ChangesParameters, results.ChangesResult, requests.changes,
    ),
    Operation(
        "search", "the messages of the own chats with these words",
        RateClass.EXPENSIVE, _READS, SearchParameters, SearchResult, requests.search,
    ),
    Operation(
        "edit", "replace an own message",
        _WRITE, _SENDS, parameters.EditParameters, results.ChangeResult, requests.edit,
    ),
    Operation(
        "recall", "remove the content of a message for everybody",
        _WRITE, _SENDS, parameters.IndexParameters, results.ChangeResult, requests.recall,
    ),
    Operation(
        "react", "add a reaction",
        _WRITE, _REACTS, parameters.ReactParameters, results.ReactResult, requests.react,
    ),
    Operation(
        "unreact", "remove a reaction",
        _WRITE, _REACTS, parameters.ReactParameters, results.ReactResult, requests.unreact,
    ),
    Operation("pin", "pin a message", _WRITE, _MANAGES, parameters.IndexParameters, results.ChangeResult, requests.pin),
    Operation(
        "unpin", "unpin a message",
        _WRITE, _MANAGES, parameters.IndexParameters, results.ChangeResult, requests.unpin,
    ),
    Operation("report", "report a message", _WRITE, _MANAGES, reports.ReportParameters, _Nothing, reports.report),
    Operation(
        "read", "mark the messages up to an index as read",
        _WRITE, _READS, parameters.ReadParameters, ReadResult, requests.read,
    ),
    Operation(
        "readers", "the members that have read a message, in groups of at most 500",
        RateClass.EXPENSIVE, _READS, ReadersParameters, ReadersResult, requests.readers,
    ),
    Operation(
        "unread", "the numbers of unread messages, and of those that mention the account",
        RateClass.EXPENSIVE, _READS, _NoParameters, results.UnreadResult, lambda *_: CountUnread(),
    ),
    Operation(
        "typing", "show the other members that the account writes a message; best without `id`",
        RateClass.EPHEMERAL, _SENDS, parameters.TypingParameters, _Nothing, requests.typing,
    ),
    Operation(
        "watch", "show the presence of these accounts, of friends and members of private chats alone",
        RateClass.EXPENSIVE, _READS, parameters.WatchParameters, WatchResult, requests.watch,
    ),
    Operation(
        "here", "the own presence, while this connection lasts",
        RateClass.EPHEMERAL, _SENDS, parameters.HereParameters, _Nothing, requests.here,
    ),
    Operation(
        "profile", "the profile of an account",
        _READ, _READS, parameters.AccountParameters, results.ProfileResult, requests.profile,
    ),
    Operation(
        "set_profile", "change the own profile",
        _WRITE, _MANAGES, parameters.ProfileParameters, _Nothing, requests.set_profile,
    ),
    Operation(
        "find", "the accounts with exactly this number, username or e-mail address",
        RateClass.EXPENSIVE, _READS, parameters.FindParameters, results.FindResult, requests.find,
    ),
    Operation("friends", "list the friends", _READ, _READS, _NoParameters, results.FriendsResult, requests.friends),
    Operation(
        "requests", "list the requests of others",
        _READ, _READS, _NoParameters, results.RequestsResult, lambda *_: ListRequests(),
    ),
    Operation(
        "befriend", "send a friend request",
        _WRITE, _MANAGES, parameters.BefriendParameters, _Nothing, requests.befriend,
    ),
    Operation(
        "answer_friend", "answer a friend request",
        _WRITE, _MANAGES, parameters.AnswerFriendParameters, _Nothing, requests.answer_friend,
    ),
    Operation(
        "unfriend", "end a friendship",
        _WRITE, _MANAGES, parameters.AccountParameters, _Nothing, requests.unfriend,
    ),
    Operation(
        "block", "reject private messages and friend requests of an account",
        _WRITE, _MANAGES, parameters.AccountParameters, _Nothing, requests.block,
    ),
    Operation("unblock", "do so no more", _WRITE, _MANAGES, parameters.AccountParameters, _Nothing, requests.unblock),
    Operation(
        "blocks", "list the blocked accounts",
        _READ, _READS, _NoParameters, results.BlocksResult, lambda *_: ListBlocked(),
    ),
    Operation(
        "open", "find or create the private chat with an account",
        _WRITE, _SENDS, parameters.AccountParameters, results.OpenResult, requests.open_private,
    ),
    Operation(
        "create", "create a group",
        _WRITE, _MANAGES, parameters.CreateParameters, results.ChatResult, requests.create,
    ),
    Operation(
        "chat", "a chat and its members", _READ, _READS, parameters.ChatParameters, results.ChatResult, requests.chat
    ),
    Operation(
        "set_chat", "change a group: its name, picture and topic, who may join, read receipts",
        _WRITE, _MANAGES, parameters.SetChatParameters, _Nothing, requests.set_chat,
    ),
    Operation(
        "mute", "be alerted of no messages of a chat until a time, or of mentions alone",
        _WRITE, _MANAGES, mutes.MuteParameters, _Nothing, mutes.mute,
    ),
    Operation(
        "join", "join an open group, or ask to join",
        _WRITE, _MANAGES, parameters.JoinParameters, results.JoinResult, requests.join,
    ),
    Operation(
        "answer_join", "answer a request to join",
        _WRITE, _MANAGES, parameters.AnswerJoinParameters, _Nothing, requests.answer_join,
    ),
    Operation(
        "invite", "add a friend, or an applicant, to a group",
        _WRITE, _MANAGES, parameters.InviteParameters, _Nothing, requests.invite,
    ),
    Operation(
        "link", "a link by which others join a group",
        _WRITE, _MANAGES, parameters.LinkParameters, links.InvitationResult, requests.link,
    ),
    Operation(
        "links", "list the links of a group",
        _READ, _MANAGES, parameters.ChatParameters, links.InvitationsResult, requests.links,
    ),
    Operation("unlink", "delete a link", _WRITE, _MANAGES, parameters.UnlinkParameters, _Nothing, requests.unlink),
    Operation(
        "join_link", "join a group by a link",
        RateClass.EXPENSIVE, _MANAGES, parameters.JoinLinkParameters, links.JoinLinkResult, requests.join_link,
    ),
    Operation(
        "create_hook", "an address to which programs post messages of a group",
        _WRITE, _USERS, hooks.CreateHookParameters, hooks.CreateHookResult, hooks.create_hook,
    ),
    Operation(
        "hooks", "list the hooks of a group",
        _READ, _MANAGES, parameters.ChatParameters, hooks.HooksResult, hooks.list_hooks,
    ),
    Operation(
        "delete_hook", "delete a hook",
        _WRITE, _MANAGES, hooks.DeleteHookParameters, _Nothing, hooks.delete_hook,
    ),
    Operation(
        "create_outgoing_hook", "an address outside to which the messages of a group are posted",
        _WRITE, _USERS, outgoing_hooks.CreateOutgoingHookParameters, outgoing_hooks.CreateOutgoingHookResult,
        outgoing_hooks.create_outgoing_hook,
    ),
    Operation(
        "outgoing_hooks", "list the outgoing hooks of a group",
        _READ, _MANAGES, parameters.ChatParameters, outgoing_hooks.OutgoingHooksResult,
        outgoing_hooks.list_outgoing_hooks,
    ),
    Operation(
        "delete_outgoing_hook", "delete an outgoing hook",
        _WRITE, _MANAGES, hooks.DeleteHookParameters, _Nothing, outgoing_hooks.delete_outgoing_hook,
    ),
    Operation(
        "replay_outgoing_hook", "post the messages from an index on, also again; a stopped hook goes on",
        _WRITE, _MANAGES, outgoing_hooks.ReplayOutgoingHookParameters, outgoing_hooks.ReplayOutgoingHookResult,
        outgoing_hooks.replay_outgoing_hook,
    ),
    Operation("leave", "leave a group", _WRITE, _MANAGES, parameters.ChatParameters, _Nothing, requests.leave),
    Operation(
        "kick", "remove a member from a group", _WRITE, _MANAGES, parameters.MemberParameters, _Nothing, requests.kick
    ),
    Operation(
        "ban", "remove an account from a group, and keep it out",
        _WRITE, _MANAGES, parameters.BanParameters, _Nothing, requests.ban,
    ),
    Operation("unban", "end a ban", _WRITE, _MANAGES, parameters.MemberParameters, _Nothing, requests.unban),
    Operation(
        "bans", "list the banned accounts of a group",
        _READ, _MANAGES, parameters.ChatParameters, results.BansResult, requests.bans,
    ),
    Operation(
        "silence", "let a member, or all, send nothing until a time",
        _WRITE, _MANAGES, parameters.SilenceParameters, _Nothing, requests.silence,
    ),
    Operation(
        "disband", "end a group for all members",
        _WRITE, _MANAGES, parameters.ChatParameters, _Nothing, requests.disband,
    ),
    Operation(
        "members", "a page of the members, their roles and names",
        _READ, _READS, parameters.MembersParameters, results.MembersResult, requests.members,
    ),
    Operation(
        "role", "make a member an admin, or not",
        _WRITE, _MANAGES, parameters.RoleParameters, _Nothing, requests.role,
    ),
    Operation(
        "transfer", "make a member the owner of a group",
        _WRITE, _MANAGES, parameters.MemberParameters, _Nothing, requests.transfer,
    ),
)  # fmt: skip
BY_NAME: Mapping[str, Operation] = {operation.name: operation for operation in OPERATIONS}
