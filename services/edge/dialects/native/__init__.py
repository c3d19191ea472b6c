"""native: JSON objects of three shapes: commands with `op`, replies with `re`, events with `ev`.

Begin at `operations`, the one table of operations: each has its parameters, its result, and the command that it sends.
"""

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec
from msgspec import UNSET

from services.edge.canonical.events import (
    ChatJoined,
    ChatLeft,
    Event,
    MaintenanceChanged,
    MessageChanged,
    RoleChanged,
    VerificationEnded,
)
from services.edge.canonical.frames import Frame, Outgoing
from services.edge.canonical.replies import (
    AccountExported,
    AccountMade,
    AccountRecovered,
    ChangesPage,
    ChatMarkedRead,
    ChatsResumed,
    DisplayMessage,
    ForwardedMessage,
    HistoryPage,
    MessageAccepted,
    MessagesExported,
    MessagesForwarded,
    NoPendingVerification,
    PasswordChanged,
    PresenceShown,
    Reply,
    TokenRenewed,
    UsersFound,
    VerificationMailed,
)
from services.edge.dialects.base import (
    Action,
    ConnectionInfo,
    DecodeError,
    Dialect,
    Disconnect,
    LocalReply,
    Mask,
    Push,
    Request,
)
from services.edge.dialects.json_frames import read_object
from services.edge.dialects.native import bots, encode, events, hooks, links, made, membership, outgoing_hooks, results
from services.edge.dialects.native.decode import CommandFrame, CommandId, parse_command, scan_id
from services.edge.dialects.native.errors import BAD_FRAMES, closing, error_info
from services.edge.dialects.native.events import WatchResult
from services.edge.dialects.native.fast_decode import fast_send
from services.edge.dialects.native.masking import MEMBERS
from services.edge.dialects.native.messages import ForwardInfo, ForwardResult, ReadersResult, ReadResult, reactors_found
from services.edge.dialects.native.mutes import MuteEvent
from services.edge.dialects.native.operation import RATES, CommandRates, Operation
from services.edge.dialects.native.operations import BY_NAME
from services.edge.dialects.native.parameters import Id, TokenParameters
from services.edge.dialects.native.requests import Caller
from services.edge.rate_limit import TokenBucket
from shared.contract.auth import Authenticated, Logins, Logout, Refreshed, VerificationNeeded
from shared.contract.bots import BotList, CreatedBot, CreatedBotToken, TokenScope
from shared.contract.contacts import BlockedAccounts, Requests
from shared.contract.edge import (
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    ProfileChanged,
)
from shared.contract.ephemeral import ChatMuted, ChatRead, ChatSettingsChanged, PresenceChanged, ReceiptsShown, Typing
from shared.contract.errors import ErrorCode, Failure
from shared.contract.hooks import CreatedHook, HookList
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.invitations import InvitationLink, InvitationLinks, JoinedByLink
from shared.contract.members import MemberList, MembersAdded, MembershipRequested
from shared.contract.message import Changed, Unread
from shared.contract.moderation import BanList
from shared.contract.outgoing_hooks import CreatedOutgoingHook, OutgoingHookList, ReplayedOutgoingHook
from shared.contract.reactions import Reactors
from shared.contract.receipts import Readers
from shared.contract.routes import Ack
from shared.contract.search import SearchPage
from shared.contract.session import AccountView, ChatOpened, ChatVersion, ChatView, GetChat

_encode: Final = msgspec.json.Encoder().encode
_BAD_FRAMES_PER_SECOND, _BAD_FRAMES_BURST = 1.0, 50
_SEND: Final = BY_NAME["send"]
_NEW_CHAT_MEMBERS = 100
"""All 10,000 that a reply may list would cost more than the rest of the join."""
_NOT_PENDING = Failure(ErrorCode.NOT_FOUND, "no login waits for a mailed link")
_TOO_OFTEN = "too many commands of this kind, slow down"


class Native(Dialect):
    """See services.edge.dialects.base."""

    name = "native"
    waits_for_verification = True
    pushes_backlog = False
    names_messages = True
    names_senders = True
    confirms_pushes = False
    shows_replies = True
    shows_ephemeral = True
    shows_others_joins = False
    limits_scopes = True

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self.pushes_pending_requests = True
        self._account = NO_ACCOUNT
        self._sid = ""
        self._ping_ms = round(info.ping_seconds * 1000)
        self._bad_frames = TokenBucket(_BAD_FRAMES_PER_SECOND, _BAD_FRAMES_BURST, 0.0)
        self._rates = CommandRates()

    # Frames in

    def decode(self, frame: Frame, now: float) -> Sequence[Action]:
        if (request := fast_send(frame, self.limits)) is not None:
            self._check(_SEND, _id(request.context), now)
            return (request,)
        try:
            members = read_object(frame, self.limits)
        except DecodeError as error:
            error.context = scan_id(frame)
            if self.limits.rates and not self._bad_frames.take(now):
                error.disconnect = Disconnect(BAD_FRAMES, "too many bad frames")
            raise
        return self._actions(parse_command(members), now)

    def identify(self, frame: Frame) -> object:
        return scan_id(frame)

    def _actions(self, command: CommandFrame, now: float) -> Sequence[Action]:
        operation, parameters = command
        self._check(operation, parameters.id, now)
        bad = CommandId(parameters.id)
        try:
            made = operation.request(parameters, self._caller(gets_reply=parameters.id is not None))
        except DecodeError as error:
            error.context = bad
            raise
        if isinstance(made, operation.result):
            return tuple(map(LocalReply, filter(None, [_reply(parameters.id, made)])))
        token = parameters.token if isinstance(parameters, TokenParameters) else ""
        request = Request(made, bad, token)  # type: ignore[arg-type]
        return (request, Disconnect(1000, "logged out")) if isinstance(made, Logout) else (request,)

    def _caller(self, *, gets_reply: bool) -> Caller:
        return Caller(self._account, self.limits, gets_reply, self.unix_ms(), self._ping_ms)

    def _check(self, operation: Operation, number: Id | None, now: float) -> None:
        """Raises DecodeError if it comes too often, or if the token does not permit it."""
        rate = operation.rate
        if rate in RATES and self.limits.rates and (retry_ms := self._rates.retry_ms(rate, now)):
            raise DecodeError(_TOO_OFTEN, ErrorCode.RATE_LIMITED, CommandId(number), retry_ms=retry_ms)
        if rejection := operation.rejection(self.scopes):
            raise DecodeError(rejection, ErrorCode.FORBIDDEN, CommandId(number), "scope")

    # Frames out

    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Outgoing, ...]:
        if isinstance(reply, MessageAccepted):  # the most frequent one
            number = _id(request.context)
            return () if number is None else (_encode(encode.sent(number, reply.message, again=reply.again)),)
        if isinstance(request.context, ChatJoined):
            assert isinstance(reply, ChatView)
            return (_encode(encode.chat_event(request.context, reply, self.base_url)),)
        if isinstance(reply, NoPendingVerification):
            return self.encode_error(request, _NOT_PENDING)
        if isinstance(reply, Changed):
            return _reply(_id(request.context), encode.changed(reply, request.command))
        if isinstance(reply, MessagesForwarded):
            return _reply(_id(request.context), ForwardResult([_forwarded(request, one) for one in reply.results]))
        frames = _reply(_id(request.context), self._result(reply))
        if isinstance(reply, ChatsResumed):
            return (*frames, *map(_encode, encode.synced(reply, self.base_url)))
        return frames

    def _result(self, reply: Reply) -> msgspec.Struct:
        match reply:
            case ChatVersion() | MembershipRequested() | MembersAdded() | MemberList() | BanList():
                return membership.result(reply, self.base_url)
            case AccountRecovered():
                return made.RecoverResult(made.count(reply.made))
            case Ack() | VerificationMailed():
                return results.Nothing()
            case AccountMade():
                return made.result(reply)
            case Authenticated() | PasswordChanged() | VerificationNeeded() | TokenRenewed() | Refreshed() | Logins():
                return self._login_result(reply)
            case AccountExported():
                return encode.exported(reply, self._sid, self.base_url)
            case MessagesExported():
                return encode.exported_messages(reply, self.base_url)
            case HistoryPage():
                return encode.history(reply, self.base_url)
            case ChatsResumed():
                return encode.sync(reply, self.base_url)
            case ChangesPage():
                return encode.changes(reply, self.base_url)
            case SearchPage():
                return encode.search(reply)
            case ChatMarkedRead(unread, index):
                return ReadResult() if unread is None else ReadResult(*unread, UNSET if index is None else index)
            case Readers(count, accounts, more):
                return ReadersResult(count, [*accounts], more)
            case Reactors():
                return reactors_found(reply)
            case Unread():
                return encode.unread(reply)
            case AccountView(profile, _, friends):
                return encode.profile(profile, self.base_url) if friends is None else results.FriendsResult([*friends])
            case Requests():
                return encode.requests(reply)
            case UsersFound(profiles):
                return results.FindResult([encode.profile(one, self.base_url) for one in profiles])
            case PresenceShown(shown):
                return WatchResult([encode.presence_info(one) for one in shown])
            case InvitationLink() | InvitationLinks() | JoinedByLink():
                return links.result(reply)
            case CreatedHook() | HookList():
                return hooks.result(reply)
            case CreatedOutgoingHook() | OutgoingHookList() | ReplayedOutgoingHook():
                return outgoing_hooks.result(reply)
            case CreatedBot() | BotList() | CreatedBotToken():
                return bots.result(reply)
            case BlockedAccounts(accounts):
                return results.BlocksResult([*accounts])
            case ChatOpened(chat):
                return results.OpenResult(chat)
            case ChatView():
                return encode.chat(reply, self.base_url)
            case MessageAccepted() | NoPendingVerification() | Changed() | MessagesForwarded():
                raise TypeError("encode_reply encodes this itself")
            case _:
                raise TypeError("no native command requests this")

    def _login_result(
        self, reply: Authenticated | PasswordChanged | VerificationNeeded | TokenRenewed | Refreshed | Logins
    ) -> msgspec.Struct:
        match reply:
            case Authenticated():
                self._sid = reply.sid
                return encode.logged_in(reply, self.unix_ms())
            case PasswordChanged(login):
                self._sid = login.sid
                return encode.password_changed(reply, self.unix_ms())
            case VerificationNeeded(expires=expires):
                return results.LoginResult(verify=results.VerificationInfo(expires))
            case TokenRenewed(account, sid, expires):
                self._sid = sid
                return results.TokenResult(account, sid, results.unix_ms_of(expires), self.unix_ms())
            case Refreshed():
                return encode.refreshed(reply, self.unix_ms())
            case Logins():
                return encode.sessions(reply, self._sid)
            case _:
                assert_never(reply)

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        """`context`: the CommandId that cannot be decoded, if it is one at all."""
        bad = context if request is None else request.context
        if isinstance(bad, ChatJoined):  # the dialect's own request
            return ()
        unsupported = isinstance(bad, CommandId) and bad.unsupported
        return (_encode({"re": _id(bad), "error": error_info(request, failure, unsupported=unsupported)}),)

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        if not self.receives_pushes and not isinstance(event, MaintenanceChanged):
            return ()
        match event:
            case ChatJoined(chat):
                return (Push((), requests=(Request(GetChat(chat, members=_NEW_CHAT_MEMBERS), event),)),)
            case ChatLeft(chat, departure):
                return _push(events.GoneEvent(chat, departure.value))
            case RoleChanged(chat, account, role, by, version):
                return _push(events.RoleEvent(chat, account, encode.ROLES[role], by, version or UNSET))
            case MessageChanged(shown):
                return _push(encode.changed_event(shown, self.base_url))
            case ChatRenamed(chat, name, by):
                return _push(events.RenamedEvent(chat, name, by))
            case ChatSettingsChanged():
                return _push(encode.settings_event(event, self.base_url))
            case MembershipApplied(applicant, chat, text):
                return _push(events.RequestEvent(applicant, text, chat))
            case MembershipAnswered(chat, name, account, accepted, _, version):
                return _push(events.MemberEvent(chat, account, name, accepted, version or UNSET))
            case FriendshipRequested(applicant, _, text):
                return _push(events.RequestEvent(applicant, text))
            case FriendshipAnswered(applicant, account, accepted):
                return _push(events.FriendEvent(applicant if account == self._account else account, accepted))
            case ProfileChanged(profile):
                return _push(encode.profile_event(profile, self.base_url))
            case ChatRead(chat, index, unread, mentions):
                return _push(events.ReadEvent(chat, index, unread, mentions))
            case ChatMuted(chat, _, until, mentions_only):
                return _push(MuteEvent(chat, until, mentions_only))
            case ReceiptsShown(chat, upto):
                return _push(events.ReceiptsEvent(chat, [*upto]))
            case PresenceChanged():
                return _push(encode.presence_event(event))
            case Typing(chat, account, ttl_ms):
                return _push(events.TypingEvent(chat, account, ttl_ms))
            case MaintenanceChanged(on):
                return _push(events.NoticeEvent("maintenance", on))
            case VerificationEnded(result):
                return _push(events.VerifiedEvent(result))
            case _:
                assert_never(event)

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        return MEMBERS.apply(frame, mask, self.limits)

    def encode_message(self, shown: DisplayMessage) -> tuple[Frame, ...]:
        return (_encode(encode.event(shown, self.base_url)),)

    def encode_close(self, code: int, reason: str) -> tuple[tuple[Frame, ...], int, str]:
        bye, code, reason = closing(code, reason)
        return () if bye is None else (_encode(bye),), code, reason

    # The login

    def logged_in(self, account: AccountId, now: float) -> None:
        self._account = account
        self.receives_pushes = self.pushes_pending_requests = self.scopes is None or TokenScope.READ in self.scopes
        if account == NO_ACCOUNT:
            self._sid = ""


def _id(context: object) -> Id | None:
    return context.id if isinstance(context, CommandId) else None


def _reply(number: Id | None, result: msgspec.Struct) -> tuple[bytes, ...]:
    """None to a command without an id."""
    if number is None:
        return ()
    members = _encode(result)
    separator = b"" if members == b"{}" else b","
    return (b'{"re":%b%b%b' % (_encode(number), separator, members[1:]),)


def _forwarded(request: Request, one: ForwardedMessage) -> ForwardInfo:
    failure = UNSET if one.failure is None else error_info(request, one.failure)
    if one.posted is None:
        return ForwardInfo(one.chat, failure=failure)
    return ForwardInfo(one.chat, one.posted.index, one.posted.id, one.posted.time, one.again or UNSET)


def _push(event: msgspec.Struct) -> tuple[Push, ...]:
    return (Push((_encode(event),)),)
