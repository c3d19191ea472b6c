"""telegraph: every frame is one line; its words are separated by blanks, and the third is all that is left.

In: `login WHO PASSWORD`, `say CHAT TEXT`, `tell PERSON TEXT`. Out: `hello PERSON`, `sent CHAT INDEX`, `no REASON`;
unasked: `chat CHAT`, `heard CHAT PERSON TEXT`.
"""

from collections.abc import Sequence
from typing import assert_never

from services.edge.canonical.commands import Command, PostMessage
from services.edge.canonical.events import ChatJoined, Event, MaintenanceChanged, VerificationEnded
from services.edge.canonical.frames import Binary, Frame
from services.edge.canonical.replies import (
    MessageAccepted,
    MessagePage,
    NoPendingVerification,
    Reply,
    ServerStatus,
    VerificationMailed,
)
from services.edge.dialects import credentials, validation
from services.edge.dialects.base import DecodeError, Dialect, DisplayMessage, FirstFrame, Push, Request
from services.edge.dialects.json_frames import parse_id
from services.edge.dialects.text_fallback import render_message
from shared.contract.auth import Authenticated, IdentifierKind, Login, VerificationNeeded
from shared.contract.edge import (
    ChatRenamed,
    FriendshipAnswered,
    FriendshipRequested,
    MembershipAnswered,
    MembershipApplied,
    ProfileChanged,
)
from shared.contract.errors import ErrorCode, Failure
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Text
from shared.contract.session import AccountView, Ack, ChatView, ChatViews, MembershipRequested, Requests
from shared.settings import Limits


def detects(opening: FirstFrame) -> bool:
    return opening.text.split(" ")[0] in ("login", "say", "tell")


def words_of(frame: Frame, limits: Limits) -> list[str]:
    """Raises DecodeError."""
    if isinstance(frame, Binary):
        raise DecodeError("a text frame is expected")
    if len(frame) > limits.text_frame_bytes:
        raise DecodeError(f"a frame has at most {limits.text_frame_bytes} bytes", ErrorCode.TOO_LARGE)
    try:
        lines = frame.decode().splitlines()
    except UnicodeDecodeError as error:
        raise DecodeError("not UTF-8") from error
    if len(lines) != 1 or "\0" in lines[0]:
        raise DecodeError("one line is expected")
    return lines[0].split(" ", 2)


def command_of(words: list[str], limits: Limits) -> Command:
    """Raises DecodeError."""
    match words:
        case "login", who, password:
            return Login(kind=IdentifierKind.ANY, identifier=who, secret=credentials.password(password))
        case "say", chat, text:
            return PostMessage(ChatId(number(chat)), validation.message_text((Text(text),), limits))
        case "tell", person, text:
            return PostMessage(ChatId(0), validation.message_text((Text(text),), limits), AccountId(number(person)))
        case _:
            raise DecodeError("login, say or tell is expected, and two words more")


def number(word: str) -> int:
    if (found := parse_id(word)) is None:
        raise DecodeError("the second word must be a number")
    return found


def line(*words: object) -> bytes:
    """Whatever people have written, it stays one line."""
    return " ".join(" ".join(map(str, words)).splitlines()).encode()


class Telegraph(Dialect):
    """See services.edge.dialects.base."""

    name = "telegraph"

    def decode(self, frame: Frame, now: float) -> Sequence[Request]:
        return (Request(command_of(words_of(frame, self.limits), self.limits)),)

    def encode_reply(self, request: Request, answer: Reply, now: float) -> tuple[Frame, ...]:
        match answer:
            case Authenticated(account=account):
                return (line("hello", account),)
            case MessageAccepted(message):
                return (line("sent", message.chat, message.index),)
            case VerificationNeeded():
                return (line("no", "the e-mail address must be verified first"),)
            case NoPendingVerification() | VerificationMailed() | ServerStatus() | AccountView() | ChatView() | Ack():
                raise TypeError("no telegraph client can ask for this")
            case Requests() | MembershipRequested() | ChatViews() | MessagePage():
                raise TypeError("no telegraph client can ask for this")
            case _:
                assert_never(answer)

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        return (line("no", failure.text or failure.code),)

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        match event:
            case ChatJoined(chat):
                return (Push((line("chat", chat),)),)
            case MaintenanceChanged() | VerificationEnded() | ProfileChanged() | ChatRenamed():
                return ()
            case FriendshipRequested() | FriendshipAnswered() | MembershipApplied() | MembershipAnswered():
                return ()
            case _:
                assert_never(event)

    def encode_message(self, shown: DisplayMessage) -> tuple[Frame, ...]:
        said = shown.message
        return (line("heard", said.chat, said.sender, render_message(shown.segments, self.base_url)),)
