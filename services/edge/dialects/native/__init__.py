"""The dialect native: JSON objects of three shapes. Commands have `op`, replies have `re`, and events have `ev`.

Begin at `operations`, the one table of operations. Each module of this package has the operations of one subject. An
operation has its parameters, its result, the command that is made from the parameters, and the encoding of the reply.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from services.edge.canonical.commands import PostMessage
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
from services.edge.canonical.replies import ChatsResumed, DisplayMessage, MessageAccepted, NoPendingVerification, Reply
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
from services.edge.dialects.fast_reader import FastReader
from services.edge.dialects.json_frames import MemberMask, read_object
from services.edge.dialects.native import encode, events
from services.edge.dialects.native.chats import chat_members
from services.edge.dialects.native.decode import CommandFrame, CommandId, in_plain_words, parse_command, scan_id
from services.edge.dialects.native.errors import BAD_FRAMES, closing, error_info
from services.edge.dialects.native.operation import RATES, AnyOperation, Caller, CommandRates
from services.edge.dialects.native.operations import BY_NAME
from services.edge.dialects.native.own_settings import settings_members
from services.edge.dialects.native.shapes import LARGEST, LONGEST_ID, FastSend, Id, OvertakingParameters
from services.edge.dialects.native.users import profile_members
from services.edge.rate_limit import TokenBucket
from shared.contract.auth import Logout
from shared.contract.bots import TokenScope
from shared.contract.edge import (
    ChatModesChanged,
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    Invited,
    MembershipAnswered,
    MembershipApplied,
    ProfileChanged,
)
from shared.contract.ephemeral import (
    ChatMuted,
    ChatPlaced,
    ChatRead,
    ChatSettingsChanged,
    DraftChanged,
    IrcEvent,
    OwnSettingsChanged,
    PresenceChanged,
    ReadTimeMoved,
    ReceiptsShown,
    Typing,
)
from shared.contract.errors import ErrorCode, Failure, Reason
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.model import Text
from shared.contract.session import ChatView, GetChat
from shared.settings.limits import FrameLimits

_encode: Final = msgspec.json.Encoder().encode
_LARGEST: Final = LARGEST
_SEND: Final = BY_NAME["send"]
_BAD_FRAMES_PER_SECOND, _BAD_FRAMES_BURST = 1.0, 50
_NEW_CHAT_MEMBERS = 100
"""The most members that the event for a new chat lists. A group may have 10,000 members, and a list of all of them
would cost more than the rest of the join."""
_NOT_PENDING = Failure(ErrorCode.NOT_FOUND, "no login is waiting for a mailed link")
_MEMBERS = MemberMask(
    public=(
        "accept accepted account accounts added address after again around avatar away bans before blocks by changes "
        "changes_after chat chats client code count created deleted dialect dir edited email emoji emojis epoch ev "
        "expires exported face failure field file_bytes first frame_bytes friends from gap gone has have head here "
        "hits icon_id id identifier if_rev index indexed_to into join_policy joined joins kind limits links marks "
        "media members mentions mentions_only message messages metadata mime mine more muted_until name nickname nonce "
        "on op operations owner page ping_ms pins presence profile query question_id re read recalled receipts "
        "refresh_expires refreshable rejected reply_to requests reset result results retry_ms rev role scheme "
        "segments sender server sessions sha256 sid signature silenced since size snippet start state states status "
        "supports t text text_bytes time timeline to topic total ttl_ms unknown unread until upto url username uses "
        "uuid v version wait_ms why window hook hooks bot bots reactors days scopes tokens next origin last_error "
        "reports reason device email_verified edit_s recall_s history_for_new outgoing_hooks bot_tokens "
        "paused rates waiting all entrance expensive ephemeral left_chats context zone "
        "if_rev language level quiet settings tz v profiles query pinned archived build features "
        "registration recovery secret_min nickname_characters group_name_characters topic_characters "
        "members_per_group unread_from base cut conflict draft at width height "
        "overtaking among last lists subscription subscriptions session last_ok web key p256dh handle nick "
        "mask masks mode hash preview"
    ),
    objects="error limits entrance secret old new verify data made",
    counts="reactions",
)
"""Which members of frames are not secret. See MemberMask."""


class Native(Dialect):
    """See services.edge.dialects.base."""

    name = "native"
    waits_for_verification = True
    rejects_unverified = True
    names_messages = True
    names_errors = True
    names_senders = True
    confirms_pushes = False
    shows_replies = True
    shows_ephemeral = True
    shows_others_joins = False
    limits_scopes = True

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self.pushes_missed, self.pushes_pending_requests = False, True
        self._caller = Caller(info.limits, info.base_url, round(info.ping_seconds * 1000), info.unix_ms, info.server)
        self._bad_frames = TokenBucket(_BAD_FRAMES_PER_SECOND, _BAD_FRAMES_BURST, 0.0)
        self._rates = CommandRates()

    # Frames in

    def decode(self, frame: Frame, now: float) -> Sequence[Action]:
        if (request := _fast_send(frame, self.limits)) is not None:
            self._check(_SEND, _id(request.context), now)
            return (request,)
        try:
            members = read_object(frame, self.limits)
        except DecodeError as error:
            error.context, error.failure = scan_id(frame), in_plain_words(error)
            if self.limits.rates and not self._bad_frames.take(now):
                error.disconnect = Disconnect(BAD_FRAMES, "too many bad frames")
            raise
        return self._actions(parse_command(members), now)

    def identify(self, frame: Frame) -> object:
        return scan_id(frame)

    def _actions(self, command: CommandFrame, now: float) -> Sequence[Action]:
        operation, parameters = command
        number = parameters.id
        self._check(operation, number, now)
        try:
            made = operation.request(parameters, self._caller)
        except DecodeError as error:
            error.context = CommandId(number)
            raise
        if isinstance(parameters, OvertakingParameters) and parameters.overtaking:
            self.orders_replies = False
        if isinstance(made, operation.result):
            return tuple(map(LocalReply, filter(None, [_reply(number, made)])))
        request = Request(made, CommandId(number, operation=operation), getattr(parameters, "token", ""))
        return (request, Disconnect(1000, "logged out")) if isinstance(made, Logout) else (request,)

    def _check(self, operation: AnyOperation, number: Id | None, now: float) -> None:
        """Raises DecodeError if the operation is requested too often, or if the token does not permit it."""
        rate = operation.rate
        if rate in RATES and self.limits.rates and (retry_ms := self._rates.retry_ms(rate, now)):
            too_often = f"too many commands with the rate `{rate.value}`, slow down"
            raise DecodeError(too_often, ErrorCode.RATE_LIMITED, CommandId(number), retry_ms=retry_ms)
        if rejection := operation.rejection(self.scopes):
            raise DecodeError(rejection, ErrorCode.FORBIDDEN, CommandId(number), "scope", reason=Reason.SCOPE)

    # Frames out

    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Outgoing, ...]:
        context = request.context
        if isinstance(reply, MessageAccepted):  # the most frequent reply
            number = _id(context)
            return () if number is None else (_encode(encode.sent(number, reply.message, again=reply.again)),)
        if isinstance(context, ChatJoined):
            assert isinstance(reply, ChatView)
            return (_encode(events.chat_event(context, chat_members(reply, self.base_url))),)
        if isinstance(reply, NoPendingVerification):
            return self.encode_error(request, _NOT_PENDING)
        if not isinstance(context, CommandId) or context.operation is None:
            return ()
        frames = _reply(context.id, context.operation.result_of(reply, self._caller))
        if isinstance(reply, ChatsResumed):
            return (*frames, *map(_encode, events.synced(reply, self.base_url)))
        return frames

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        """`context`: the CommandId of a frame that cannot be decoded, if the frame is a command."""
        bad = context if request is None else request.context
        if isinstance(bad, ChatJoined):  # the dialect made this request by itself, so the client gets no error for it
            return ()
        operation = bad.operation if isinstance(bad, CommandId) else None
        unsupported = isinstance(bad, CommandId) and bad.unsupported
        parameters = None if operation is None else operation.parameters
        return (_encode({"re": _id(bad), "error": error_info(request, failure, parameters, unsupported=unsupported)}),)

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
                return _push(events.ChangedEvent(*encode.change_fields(shown, self.base_url)))
            case ChatRenamed(chat, name, by):
                return _push(events.RenamedEvent(chat, name, by))
            case ChatSettingsChanged():
                return _push(events.settings_event(event, self.base_url))
            case MembershipApplied(applicant, chat, text):
                return _push(events.RequestEvent(applicant, text, chat))
            case MembershipAnswered(chat, name, account, accepted, _, version):
                return _push(events.MemberEvent(chat, account, name, accepted, version or UNSET))
            case FriendshipRequested(applicant, _, text):
                return _push(events.RequestEvent(applicant, text))
            case FriendshipAnswered(applicant, account, accepted):
                return _push(events.FriendEvent(applicant if account == self._caller.account else account, accepted))
            case ProfileChanged(profile):
                return _push(events.ProfileEvent(*profile_members(profile, self.base_url)))
            case ChatRead(chat, index, unread, mentions, unread_from):
                return _push(events.ReadEvent(chat, index, unread, mentions, unread_from or UNSET))
            case ChatMuted(chat, _, until, mentions_only):
                return _push(events.MuteEvent(chat, until, mentions_only))
            case ChatPlaced(chat, _, pinned, archived):
                return _push(events.PlaceEvent(chat, pinned, archived))
            case DraftChanged(chat, _, draft):
                return _push(events.draft_event(chat, draft))
            case OwnSettingsChanged(_, changed):
                return _push(events.OwnSettingsEvent(*settings_members(changed)))
            case ReceiptsShown(chat, upto):
                return _push(events.ReceiptsEvent(chat, [*upto]))
            case PresenceChanged(account, state, since, text):
                return _push(events.PresenceEvent(account, state, since, text))
            case Typing(chat, account, ttl_ms):
                return _push(events.TypingEvent(chat, account, ttl_ms))
            case MaintenanceChanged(on):
                return _push(events.NoticeEvent("maintenance", on))
            case VerificationEnded(result):
                return _push(events.VerifiedEvent(result))
            case ChatModesChanged() | Invited() | ReadTimeMoved():  # only IRC shows these events and the following ones
                return ()
            case _:
                _only_irc: IrcEvent = event  # the types are wrong here if another event has no case above
                return ()

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        return _MEMBERS.apply(frame, mask, self.limits)

    def encode_message(self, shown: DisplayMessage) -> tuple[Frame, ...]:
        return (_encode(encode.event(shown, self.base_url)),)

    def encode_close(self, code: int, reason: str) -> tuple[tuple[Frame, ...], int, str]:
        bye, code, reason = closing(code, reason)
        return () if bye is None else (_encode(bye),), code, reason

    # The login

    def logged_in(self, account: AccountId, now: float) -> None:
        self._caller.account = account
        self.receives_pushes = self.pushes_pending_requests = self.scopes is None or TokenScope.READ in self.scopes
        if account == NO_ACCOUNT:
            self._caller.sid = ""


def _quotes(_wire: FastSend) -> int:
    return 16


_reader: Final = FastReader(FastSend, _quotes)


def _fast_send(frame: Frame, limits: FrameLimits) -> Request | None:
    """Decode a frame that only sends a short text to a chat. None means that the frame must be decoded like any
    other."""
    wire = _reader.read(frame, limits)
    if wire is None:
        return None
    id, chat, text, nonce = wire.id, wire.chat, wire.text, wire.nonce
    if not (text and 0 <= id <= _LARGEST and 1 <= chat <= _LARGEST and 1 <= len(nonce) <= LONGEST_ID):
        return None
    return Request(PostMessage(ChatId(chat), (Text(text),), nonce=nonce), CommandId(id, operation=_SEND))


def _id(context: object) -> Id | None:
    return context.id if isinstance(context, CommandId) else None


def _reply(number: Id | None, result: msgspec.Struct) -> tuple[bytes, ...]:
    """The reply to a command. A command without an id gets no reply."""
    if number is None:
        return ()
    members = _encode(result)
    separator = b"" if members == b"{}" else b","
    return (b'{"re":%b%b%b' % (_encode(number), separator, members[1:]),)


def _push(event: msgspec.Struct) -> tuple[Push, ...]:
    return (Push((_encode(event),)),)
