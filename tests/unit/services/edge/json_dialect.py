"""A dialect for tests. Each frame is one JSON object. The edge holds nothing back, unless the client asks for it.

Clients send `{"do": "login", "account": 1}`, `{"do": "post", "chat": 1, "text": "hello"}` and so on. A `ref` in a frame
is returned as `re`. A binary frame that begins with "part" is the next part of upload 1.

The edge sends `{"re": …, "ok": …}`, `{"re": …, "error": code}`, `{"message": [chat, index, sender, text]}` and
`{"event": …}`. A picture or file is sent as its announcement, as `{"content": [chat, index, sender, packages]}`, or as
a text with its name.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from services.edge.canonical.commands import (
    AnnounceTyping,
    Command,
    DropUpload,
    GetServerStatus,
    GiveState,
    PostMessage,
    PostUpload,
    ReadHistory,
    RequestVerification,
    StartUpload,
    UploadPart,
    WatchAccounts,
)
from services.edge.canonical.events import (
    ChatJoined,
    ChatLeft,
    Event,
    MaintenanceChanged,
    RoleChanged,
    VerificationEnded,
)
from services.edge.canonical.frames import Binary, Frame, MediaPayload, Outgoing
from services.edge.canonical.replies import MessageAccepted, PresenceShown, Reply
from services.edge.dialects.base import (
    Action,
    ConnectionInfo,
    DecodeError,
    Dialect,
    Disconnect,
    DisplayMessage,
    LoadedChat,
    LocalReply,
    Mask,
    Push,
    PushGate,
    Request,
)
from services.edge.dialects.json_frames import MemberMask, scan_member
from services.edge.dialects.registry import Entry
from shared.contract.auth import Authenticated, DeleteAccount, IdentifierKind, Login, Register
from shared.contract.contacts import SetBlocked
from shared.contract.ephemeral import (
    PresenceChanged,
    Typing,
)
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import File, Image, Media, Message, Scheme, Secret, Segment, Text
from shared.contract.recovery import Recover
from shared.contract.session import AccountView, ChatView, CreateChat, GetAccount, GetChat

Fields = dict[str, Any]
MEMBERS = MemberMask(public="do ref re ok error account chat text message event value nickname")


def _login(fields: Fields) -> Command:
    secret = Secret(Scheme.PLAIN, str(fields.get("secret", "right")))
    return Login(kind=IdentifierKind.ID, identifier=str(fields["account"]), secret=secret)


def _register(fields: Fields) -> Command:
    return Register(secret=Secret(Scheme.PLAIN, "right"), nickname=str(fields["nickname"]))


def _place(fields: Fields) -> tuple[ChatId, AccountId]:
    return ChatId(fields.get("chat", 0)), AccountId(fields.get("to", 0))


def _last(fields: Fields, chat: ChatId, to: AccountId) -> Command:
    return PostUpload(
        fields["number"], fields["data"].encode(), chat, fields.get("kind", "file"), to, fields.get("name", ""), 3
    )  # fmt: skip


def _cited(fields: Fields) -> tuple[Segment, ...]:
    return (Text("look"), Image(Media(fields["id"], fields.get("name", ""), 0, "", "")))


COMMANDS: dict[str, Callable[[Fields], Command]] = {
    "login": _login,
    "register": _register,
    "verify": lambda fields: RequestVerification(),
    "status": lambda fields: GetServerStatus(),
    "post": lambda fields: PostMessage(ChatId(fields["chat"]), (Text(fields["text"]),)),
    "account": lambda fields: GetAccount(AccountId(fields["account"])),
    "create": lambda fields: CreateChat([AccountId(number) for number in fields["members"]]),
    "chat": lambda fields: GetChat(ChatId(fields["chat"])),
    "history": lambda fields: ReadHistory(ChatId(fields["chat"]), 1, 10, older=False),
    "delete": lambda fields: DeleteAccount(),
    "recover": lambda fields: Recover(
        username=str(fields["account"]), question_id=1, answer="x", secret=Secret(Scheme.PLAIN, "right")
    ),
    "start": lambda fields: StartUpload(fields["number"], *_place(fields), replaces=fields.get("replaces")),
    "part": lambda fields: UploadPart(fields["number"], fields["data"].encode()),
    "last": lambda fields: _last(fields, *_place(fields)),
    "drop": lambda fields: DropUpload(fields["number"], Failure(ErrorCode.TOO_LARGE, "more than announced")),
    "typing": lambda fields: AnnounceTyping(ChatId(fields["chat"]), fields["on"]),
    "presence": lambda fields: WatchAccounts(tuple(AccountId(account) for account in fields["accounts"])),
    "here": lambda fields: GiveState(fields["state"], fields.get("text", "")),
    "block": lambda fields: SetBlocked(AccountId(fields["account"]), fields["on"]),
    "cite": lambda fields: PostMessage(ChatId(fields["chat"]), _cited(fields), references_media=True),
    "attach": lambda fields: PostMessage(
        ChatId(fields["chat"]), (File(Media(fields["id"], "", 0, "", "")),), references_media=True, kind_by_content=True
    ),
}


def _presence(one: PresenceChanged) -> list[object]:
    return [one.account, one.state, one.text] if one.text else [one.account, one.state]


def frame(**fields: object) -> bytes:
    return msgspec.json.encode(fields)


class JsonGate(PushGate):
    """Holds the messages of a chat until the time in `until`."""

    def __init__(self) -> None:
        self.until: dict[ChatId, float] = {}
        self.clear()

    def clear(self) -> None:
        self._held: dict[ChatId, list[Push]] = {}
        self._update()

    def admit(self, message: Message, frames: tuple[Outgoing, ...]) -> tuple[Outgoing, ...] | None:
        return None if message.chat in self.until else frames

    def hold(self, message: Message, frames: tuple[Outgoing, ...], now: float) -> tuple[Push, ...]:
        self._held.setdefault(message.chat, []).append(Push(frames, message))
        self._update()
        return ()

    def holds(self, chat: ChatId, index: int) -> bool:
        return False

    def release(self, chat: ChatId, now: float) -> tuple[Push, ...]:
        return ()

    def wake(self, now: float) -> tuple[Push, ...]:
        due = [chat for chat in self._held if self.until[chat] <= now]
        for chat in due:
            del self.until[chat]
        pushes = tuple(push for chat in due for push in self._held.pop(chat))
        self._update()
        return pushes

    def _update(self) -> None:
        self.held_bytes = sum(len(text) for pushes in self._held.values() for push in pushes for text in _texts(push))
        self.wake_at = min((self.until[chat] for chat in self._held), default=None)


class JsonDialect(Dialect):
    """The dialect itself replies to `ping`. `quit` closes the connection after a reply. `several` contains frames that
    are handled in order.

    `hold` has `chat` and `until`. It holds the messages of this chat until this time, and gets no reply. `watch` also
    gets no reply. After it, the dialect requests every chat that appears.
    """

    name = "lines"
    waits_for_verification = True
    rejects_unverified = True
    shows_ephemeral = True
    gets_missed = True
    """Whether missed messages are pushed to new connections. Some tests replace this value."""

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self.pushes_missed = self.gets_missed
        self.entered_as: list[AccountId] = []
        self.known: list[list[ChatId]] = []
        self._watches = False
        self.gate = self._gate = JsonGate()

    def decode(self, frame: Frame, now: float) -> Sequence[Action]:
        if isinstance(frame, Binary):
            if not frame.data.startswith(b"part"):
                raise DecodeError("nothing of an upload")
            return [Request(UploadPart(1, frame.data))]
        try:
            return self._actions(msgspec.json.decode(frame, type=dict))
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
            raise DecodeError(f"cannot be understood: {error}") from error

    def identify(self, frame: Frame) -> object:
        return None if isinstance(frame, Binary) else scan_member(frame, b'"ref"')

    def _actions(self, fields: Fields) -> Sequence[Action]:
        match fields.get("do"):
            case "explode":
                raise RuntimeError("a dialect with a bug")
            case "hold":
                self._gate.until[ChatId(fields["chat"])] = fields["until"]
                return ()
            case "watch":
                self._watches = True
                return ()
            case "ping":
                return [LocalReply((frame(re=fields.get("ref"), ok="pong"),))]
            case "quit":
                return [LocalReply((frame(re=fields.get("ref"), ok="bye"),)), Disconnect(1000, "bye")]
            case "several":
                return [action for each in fields["frames"] for action in self._actions(each)]
            case _:
                return [Request(COMMANDS[fields["do"]](fields), fields.get("ref"))] * fields.get("times", 1)

    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Frame, ...]:
        match reply:
            case MessageAccepted(message, _):
                value: object = [message.chat, message.index]
            case Authenticated(account=account):
                value = account
            case ChatView(chat=chat):
                value = chat.id
            case AccountView(profile=profile):
                value = profile.nickname
            case PresenceShown(presence):
                value = [_presence(one) for one in presence]
            case _:
                value = type(reply).__name__
        return (frame(re=request.context, ok=value),)

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        return (frame(re=request.context if request else context, error=failure.code),)

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        match event:
            case ChatJoined(chat) | ChatLeft(chat):
                value: object = chat
            case RoleChanged(_, account, role, _):
                value = [account, int(role)]
            case PresenceChanged():
                value = _presence(event)
            case Typing(chat, account, ttl_ms):
                value = [chat, account, ttl_ms]
            case MaintenanceChanged(on):
                value = on
            case VerificationEnded(outcome):
                value = outcome
            case _:
                value = None
        push = Push((frame(event=type(event).__name__, value=value),))
        if self._watches and isinstance(event, ChatJoined):
            push = msgspec.structs.replace(push, requests=(Request(GetChat(event.chat), "watched"),))
        return (push,)

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        return MEMBERS.apply(frame, mask, self.limits)

    def encode_message(self, shown: DisplayMessage) -> tuple[Outgoing, ...]:
        message = shown.message
        if media := [segment.media for segment in shown.segments if isinstance(segment, Image | File)]:
            return tuple(_content(message, one) for one in media)
        text = "".join(segment.text for segment in shown.segments if isinstance(segment, Text))
        if text == "poison":
            raise RuntimeError("a dialect with a bug")
        return (frame(message=[message.chat, message.index, message.sender, text]),)

    # Held messages

    def logged_in(self, account: AccountId, now: float) -> None:
        self.entered_as.append(account)
        self._gate.clear()

    def chats_loaded(self, chats: Sequence[LoadedChat], now: float) -> tuple[Push, ...]:
        self.known.append([loaded.chat for loaded in chats])
        return ()


def _content(message: Message, media: Media) -> MediaPayload:
    what = [message.chat, message.index, message.sender]
    return MediaPayload(
        frame(content=[*what, media.packages]), media, media.packages, frame(message=[*what, media.name])
    )


def _texts(push: Push) -> list[bytes]:
    return [frame for frame in push.frames if isinstance(frame, bytes)]


ENTRY = Entry("lines", "/ws/lines", "lines", JsonDialect)
