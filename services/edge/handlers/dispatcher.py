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
from services.edge.client.client import Client
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
    """See services.edge.client.client.RequestHandler."""

    def __init__(self, node: EdgeContext, entrance: LoginFlow) -> None:
        self._node = node
        self._entrance = entrance

    async def handle(self, client: Client, request: Request) -> Reply:
        """Raises Refused."""
        await self._entrance.authenticate(client, request)
        command, bus = request.command, self._node.bus
        seconds = self._node.settings.edge.request_seconds
        actor = client.connection.account
        match command:
            case Register() | Login():
                return await self._entrance.login(client, request)
            case RequestVerification():
                return await self._entrance.mail_verification(client)
            case GetServerStatus():
                return ServerStatus(self._node.maintenance)
            case DeleteAccount():
                return await self._delete(client, command)
            case Recover():
                command.origin = self._entrance.origin(client)
                return await self._answer_first(client, bus.request(subjects.RECOVER, command, seconds=seconds))
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
                return await self._upload(client, request)
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

    async def resolve(self, client: Client, run: list[Request]) -> list[Request]:
        await self._entrance.authenticate(client, run[0])
        return await resolve_drafts(self._node, client.uploads, client.connection.account, run)

    async def _upload(self, client: Client, request: Request) -> Reply:
        command, now = request.command, self._node.now()
        match command:
            case StartUpload():
                await check_receiver(self._node, client.connection.account, command)
                if client.is_closing:
                    raise RequestError(ErrorCode.UNAVAILABLE, "the connection is closed")
                await client.uploads.start(request, now)
            case UploadPart():
                await client.uploads.add(command, now)
            case DropUpload(failure=failure):
                raise RequestError.from_failure(failure)
        return Ack()

    # After a login

    def after_login(self, client: Client) -> None:
        if client.dialect.pushes_pending_requests:
            self._node.tasks.start(send_pending(self._node.bus, client), "requests")

    # What voids logins

    async def _delete(self, client: Client, command: DeleteAccount) -> Reply:
        command.actor = client.connection.account
        seconds = self._node.settings.edge.request_seconds
        deletion = self._node.bus.request(subjects.DELETE_ACCOUNT, command, seconds=seconds, retry=True)
        answer = await self._answer_first(client, deletion)
        client.log_out()
        return answer

    async def _answer_first(self, client: Client, work: Awaitable[Ack]) -> Ack:
        """The connection's own login, if it is voided by this, ends after the answer."""
        client.answers_first = True
        try:
            return await work
        finally:
            client.answers_first = False
            if client.is_void:
                client.is_void = False
                self._node.require_revocations_after(client.connection.revision)  # it is told again, and obeyed
