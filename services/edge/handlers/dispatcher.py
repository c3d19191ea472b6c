"""What a connection asks for, sent to the service that answers it."""

from collections.abc import Awaitable

from msgspec import UNSET

from services.edge.canonical.commands import (
    CreateChatByUuid,
    DropUpload,
    FetchUnread,
    GetServerStatus,
    PostMessage,
    PostUpload,
    RequestVerification,
    StartUpload,
    UpdateAccount,
    UploadPart,
)
from services.edge.canonical.replies import Reply, ServerStatus
from services.edge.client.session import LoginSession
from services.edge.context import EdgeContext
from services.edge.dialects.base import Request
from services.edge.handlers.forwarding import forward
from services.edge.handlers.history import fetch_messages
from services.edge.handlers.message_resolver import check_receiver, resolve_drafts
from services.edge.login.login import LoginFlow
from services.edge.notifications.social import send_pending
from shared.contract import subjects
from shared.contract.auth import (
    DeleteAccount,
    Login,
    Recover,
    Register,
)
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.message import GetHistory
from shared.contract.model import JoinPolicy, ProfileSummary
from shared.contract.session import (
    AccountView,
    Ack,
    CreateChat,
    FindAccounts,
    GetAccount,
    GetChat,
    OpenPrivateChat,
    SetProfile,
)


class Dispatcher:
    """See services.edge.client.request_processor.RequestHandler."""

    def __init__(self, node: EdgeContext, entrance: LoginFlow) -> None:
        self._node = node
        self._entrance = entrance

    async def handle(self, session: LoginSession, request: Request) -> Reply:
        """Raises Refused."""
        await self._entrance.authenticate(session, request)
        command, bus = request.command, self._node.bus
        seconds = self._node.settings.edge.request_seconds
        actor = session.connection.account
        match command:
            case Register() | Login():
                return await self._entrance.login(session, request)
            case RequestVerification():
                return await self._entrance.mail_verification(session)
            case GetServerStatus():
                return ServerStatus(self._node.maintenance)
            case DeleteAccount():
                return await self._delete(session, command)
            case Recover():
                command.origin = self._entrance.origin(session)
                return await self._answer_first(session, bus.request(subjects.RECOVER, command, seconds=seconds))
            case CreateChatByUuid():
                return await self._create_chat_of(command, actor)
            case UpdateAccount(profile, security):
                await forward(bus, profile, actor, seconds)
                self._call_oneself(actor, profile)
                return await forward(bus, security, actor, seconds)
            case GetAccount(account, lists=False):
                found = await self._node.profiles.get(account, seconds)
                return AccountView(found) if found else await forward(bus, command, actor, seconds)
            case GetHistory() | FetchUnread():
                return await fetch_messages(self._node, command, actor, seconds)
            case StartUpload() | UploadPart() | DropUpload():
                return await self._upload(session, request)
            case PostMessage() | PostUpload():
                raise RequestError(ErrorCode.INTERNAL, "messages go upstream by themselves")
            case SetProfile():
                answer = await forward(bus, command, actor, seconds)
                self._call_oneself(actor, command)
                return answer
            case _:
                return await forward(bus, command, actor, seconds)

    def _call_oneself(self, account: AccountId, changed: SetProfile) -> None:
        """A new nickname is in the next message already."""
        resident = self._node.accounts.get(account)
        if resident is not None and resident.summary is not None and changed.nickname is not UNSET:
            resident.summary = ProfileSummary(changed.nickname, resident.summary.uuid)

    async def _create_chat_of(self, command: CreateChatByUuid, actor: AccountId) -> Reply:
        bus, seconds = self._node.bus, self._node.settings.edge.request_seconds
        found = (await bus.request(subjects.FIND_ACCOUNTS, FindAccounts(list(command.uuids)), seconds=seconds)).accounts
        if unknown := [uuid for uuid in command.uuids if uuid not in found]:
            raise RequestError(ErrorCode.NOT_FOUND, f"there is no account {unknown[0]:.64}", "member")
        members = [account for account in found.values() if account != actor]
        if not command.private:
            create = CreateChat(members, command.name, join_policy=JoinPolicy.OPEN)
            return await forward(bus, create, actor, seconds)
        if len(members) != 1:
            raise RequestError(ErrorCode.INVALID, "a private chat has exactly one other member", "member")
        opened = await bus.request(subjects.OPEN_PRIVATE_CHAT, OpenPrivateChat(members[0], actor), seconds=seconds)
        return await forward(bus, GetChat(opened.chat), actor, seconds)

    # Messages

    async def resolve(self, session: LoginSession, run: list[Request]) -> list[Request]:
        await self._entrance.authenticate(session, run[0])
        return await resolve_drafts(self._node, session.uploads, session.connection.account, run)

    async def _upload(self, session: LoginSession, request: Request) -> Reply:
        command, now = request.command, self._node.clock()
        match command:
            case StartUpload():
                await check_receiver(self._node, session.connection.account, command)
                if session.is_closing:
                    raise RequestError(ErrorCode.UNAVAILABLE, "the connection is closed")
                await session.uploads.start(request, now)
            case UploadPart():
                await session.uploads.add(command, now)
            case DropUpload(failure=failure):
                raise RequestError.from_failure(failure)
        return Ack()

    # After a login

    def after_login(self, session: LoginSession) -> None:
        if session.dialect.pushes_pending_requests:
            self._node.tasks.start(send_pending(self._node.bus, session), "requests")

    # What voids logins

    async def _delete(self, session: LoginSession, command: DeleteAccount) -> Reply:
        command.actor = session.connection.account
        seconds = self._node.settings.edge.request_seconds
        deletion = self._node.bus.request(subjects.DELETE_ACCOUNT, command, seconds=seconds, retry=True)
        answer = await self._answer_first(session, deletion)
        session.log_out()
        return answer

    async def _answer_first(self, session: LoginSession, work: Awaitable[Ack]) -> Ack:
        """The connection's own login, if it is voided by this, ends after the answer."""
        session.replies_first = True
        try:
            return await work
        finally:
            session.replies_first = False
            if session.is_void:
                session.is_void = False
                self._node.require_revocations_after(session.connection.revision)  # it is told again, and obeyed
