"""The dialect pipe: text frames of fields that are separated by `|`. Almost every request has a token."""

from collections.abc import Sequence
from functools import lru_cache

from services.edge.canonical.commands import UploadCommand
from services.edge.canonical.events import Event
from services.edge.canonical.frames import Frame
from services.edge.canonical.replies import DisplayMessage, MessageAccepted, MessagePage, Reply
from services.edge.dialects.base import ERROR_CACHE_SIZE, ConnectionInfo, Dialect, Mask, Push, Request, never_requested
from services.edge.dialects.credentials import VERIFY_BY_MAIL
from services.edge.dialects.pipe import frames
from services.edge.dialects.pipe.fields import mask_fields
from services.edge.dialects.pipe.uploads import ChunkedUploads
from shared.contract.auth import Authenticated, Register, VerificationNeeded
from shared.contract.contacts import AnswerFriendship, PendingFriendship, PendingMembership, Requests
from shared.contract.edge import FriendshipRequested, MembershipApplied
from shared.contract.errors import Failure
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.members import AnswerMembership, MembershipRequested
from shared.contract.model import ChatKind
from shared.contract.routes import Ack
from shared.contract.session import AccountView, ChatView, ChatViews
from shared.setting_types import Language


class Pipe(Dialect):
    """See services.edge.dialects.base."""

    name = frames.NAME
    shows_others_joins = False
    registration_logs_in = False
    login_shows_unread = True
    names_senders = True
    tags_dialect = True

    def __init__(self, info: ConnectionInfo) -> None:
        super().__init__(info)
        self.pushes_missed = False
        self._account = NO_ACCOUNT
        self._unread = 0
        self._uploads = ChunkedUploads()

    # Frames in

    def decode(self, frame: Frame, now: float) -> Sequence[Request]:
        return (frames.request_of(frame, self._account, self.limits, self._uploads),)

    def identify(self, frame: Frame) -> object:
        return frames.command_name(frame)

    # Frames out

    def encode_reply(self, request: Request, reply: Reply, now: float) -> tuple[Frame, ...]:
        if isinstance(reply, MessagePage):
            return tuple(frames.message(shown, self.base_url, self.language) for shown in reply.messages)
        return (self._reply(request, reply),)

    def _reply(self, request: Request, reply: Reply) -> Frame:
        match reply:
            case Authenticated():
                registered = isinstance(request.command, Register)
                if registered:
                    return frames.done("register", self.language)
                return frames.logged_in(reply, self._unread, self.language)
            case VerificationNeeded():
                return frames.error(_name(request), VERIFY_BY_MAIL.text)
            case AccountView(profile, _, friends):
                own = profile.id == self._account
                return frames.profile(profile, own) if friends is None else frames.friends(friends)
            case ChatViews(chats):
                return frames.groups(view.chat.id for view in chats if view.chat.kind is ChatKind.GROUP)
            case ChatView():
                return _group(_name(request), reply, self.language)
            case Requests(friendships, memberships):
                of_friends = _name(request) == "get_unread_friend_request"
                return frames.friend_requests(friendships) if of_friends else frames.group_requests(memberships)
            case MessageAccepted() | MembershipRequested() | Ack():
                return _done(request, self.language)
            case _:
                raise never_requested("pipe")

    def encode_error(self, request: Request | None, failure: Failure, context: object = None) -> tuple[Frame, ...]:
        """`context` is the command's name in a frame that cannot be decoded, if the frame names a command."""
        if request is not None and isinstance(request.command, UploadCommand):
            self._uploads.failed(request.command.number)
        name = _name(request) if request else context if isinstance(context, str) else ""
        return _error(name, failure.words)

    def encode_event(self, event: Event, now: float) -> tuple[Push, ...]:
        match event:
            case FriendshipRequested(applicant=applicant, text=text):
                return (Push((frames.friend_requests([PendingFriendship(applicant, text)]),)),)
            case MembershipApplied(applicant, chat, text):
                return (Push((frames.group_requests([PendingMembership(applicant, chat, text)]),)),)
            case _:
                return ()

    def mask_secrets(self, frame: bytes, mask: Mask) -> bytes | None:
        return mask_fields(frame, mask)

    def encode_message(self, shown: DisplayMessage) -> tuple[Frame, ...]:
        return (frames.pushed_message(shown, self.base_url, self.language),)

    # The login

    def logged_in(self, account: AccountId, now: float) -> None:
        self._account, self._unread = account, 0
        if account == NO_ACCOUNT:
            self._uploads.clear()

    def unread_loaded(self, unread: int) -> None:
        self._unread = unread


@lru_cache(ERROR_CACHE_SIZE)
def _error(name: str, reason: str) -> tuple[Frame]:
    return (frames.error(name, reason),)


def _name(request: Request) -> str:
    """The name that the command has in the frame."""
    assert isinstance(request.context, str)
    return request.context


def _group(name: str, view: ChatView, language: Language) -> Frame:
    if name == "create_group":
        return frames.group_created(view.chat.id, language)
    return frames.group(view) if view.chat.kind is ChatKind.GROUP else frames.error(name, "this is no group")


def _done(request: Request, language: Language) -> Frame:
    command, name = request.command, _name(request)
    if isinstance(command, AnswerFriendship | AnswerMembership):
        return frames.handled(name, command.accept, language)
    return frames.done(name, language)
