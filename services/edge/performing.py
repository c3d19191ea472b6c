"""What a connection asks for, save messages: sent to the service that answers it; logins and verification here."""

import asyncio

from services.edge.client import Client
from services.edge.connection import Withheld
from services.edge.dialects.base import Request
from services.edge.fetching import fetch
from services.edge.node import Node
from services.edge.relaying import relay
from services.edge.requests import (
    Answer,
    CreateChatOf,
    GetServerStatus,
    NothingToVerify,
    PostMessage,
    RequestVerification,
    ServerStatus,
    TakeUnread,
    UpdateAccount,
    VerificationEnded,
    VerificationMailed,
)
from shared.contract import subjects
from shared.contract.auth import (
    Authenticated,
    DeleteAccount,
    Login,
    Origin,
    Recover,
    Register,
    SendVerification,
    VerificationNeeded,
)
from shared.contract.errors import ErrorCode, Refused
from shared.contract.ids import AccountId
from shared.contract.message import GetHistory
from shared.contract.model import JoinPolicy
from shared.contract.session import CreateChat, EnsureProfile, FindAccounts, GetChat, OpenPrivateChat
from shared.database import now_ms
from shared.telemetry import log

_log = log(__name__)
_PROFILE_SECONDS = 2.0
_TOGETHER_SECONDS = 0.05
"""Two frames of which the second needs the first leave this far apart (clients handle the newest first)."""


class Performer:
    def __init__(self, node: Node) -> None:
        self._node = node

    async def perform(self, client: Client, request: Request) -> Answer:
        """Raises Refused."""
        command, bus = request.command, self._node.bus
        seconds = self._node.settings.edge.request_seconds
        actor = client.connection.account
        match command:
            case Register() | Login():
                return await self._enter(client, request, command)
            case RequestVerification():
                return await self._mail_verification(client)
            case GetServerStatus():
                return ServerStatus(self._node.maintenance)
            case DeleteAccount():
                return await self._delete(client, command)
            case Recover():
                command.origin = self._origin(client)
                return await bus.ask(subjects.RECOVER, command, seconds=seconds)
            case CreateChatOf():
                return await self._create_chat_of(command, actor)
            case UpdateAccount(profile, security):
                await relay(bus, profile, actor, seconds)
                return await relay(bus, security, actor, seconds)
            case GetHistory() | TakeUnread():
                return await fetch(self._node, command, actor, seconds)
            case PostMessage():
                raise Refused(ErrorCode.INTERNAL, "messages go upstream by themselves")
            case _:
                return await relay(bus, command, actor, seconds)

    async def _create_chat_of(self, command: CreateChatOf, actor: AccountId) -> Answer:
        bus, seconds = self._node.bus, self._node.settings.edge.request_seconds
        found = (await bus.ask(subjects.FIND_ACCOUNTS, FindAccounts(list(command.uuids)), seconds=seconds)).accounts
        if unknown := [uuid for uuid in command.uuids if uuid not in found]:
            raise Refused(ErrorCode.NOT_FOUND, f"there is no account {unknown[0]:.64}", "member")
        members = [account for account in found.values() if account != actor]
        if not command.private:
            create = CreateChat(members, command.name, join_policy=JoinPolicy.OPEN)
            return await relay(bus, create, actor, seconds)
        if len(members) != 1:
            raise Refused(ErrorCode.INVALID, "a private chat has exactly one other member", "member")
        opened = await bus.ask(subjects.OPEN_PRIVATE_CHAT, OpenPrivateChat(members[0], actor), seconds=seconds)
        return await relay(bus, GetChat(opened.chat), actor, seconds)

    def _origin(self, client: Client) -> Origin:
        return Origin(self._node.id, client.connection.number, client.address)

    # Logging in

    async def _enter(self, client: Client, request: Request, command: Register | Login) -> Answer:
        connection, seconds = client.connection, self._node.settings.edge.request_seconds
        command.origin = self._origin(client)
        if isinstance(command, Register):
            answer = await self._node.bus.ask(subjects.REGISTER, command, seconds=seconds)
        else:
            answer = await self._node.bus.ask(subjects.LOGIN, command, seconds=seconds, retry=True)
        if isinstance(answer, VerificationNeeded):
            left = (answer.expires - now_ms()) / 1000
            connection.withheld = Withheld(request, answer.ticket, self._node.now() + left)
            return answer
        await self._ensure_profile(answer)
        others = await self._node.residents.register(answer.account)
        if client.leaving:
            raise Refused(ErrorCode.UNAVAILABLE, "the connection is closed")
        await client.enter(answer, others)
        return answer

    async def _ensure_profile(self, entered: Authenticated) -> None:
        """Heal a missing profile; a login does not fail for it (an event makes it, too)."""
        seeds = EnsureProfile(
            account=entered.account, uuid=entered.uuid, nickname=entered.nickname, icon_id=entered.icon_id,
            signature=entered.signature, vip=entered.vip, created=entered.created, lobby=entered.lobby,
        )  # fmt: skip
        try:
            await self._node.bus.ask(subjects.ENSURE_PROFILE, seeds, seconds=_PROFILE_SECONDS, retry=True)
        except Refused as refusal:
            _log.warning("profile not ensured", account=entered.account, error=str(refusal))

    # Verification

    async def _mail_verification(self, client: Client) -> Answer:
        withheld = client.connection.withheld
        if withheld is None:
            return NothingToVerify()
        origin = self._origin(client)
        base_url = client.connection.surroundings.base_url
        seconds = self._node.settings.edge.request_seconds
        await self._node.bus.ask(
            subjects.SEND_VERIFICATION, SendVerification(withheld.ticket, origin, base_url), seconds=seconds
        )
        return VerificationMailed()

    def verification_opened(self, client: Client, ticket: str, passed: bool) -> None:
        """The mailed link was opened: what was withheld is repeated, in its turn."""
        withheld = client.connection.withheld
        if withheld is None or withheld.ticket != ticket:
            return
        client.tell(VerificationEnded("passed" if passed else "wrong"))
        if not passed:
            return
        client.connection.withheld = None
        command = withheld.request.command
        assert isinstance(command, Register | Login)
        command.ticket = ticket
        asyncio.get_running_loop().call_later(_TOGETHER_SECONDS, client.repeat, withheld.request)

    # Deletion

    async def _delete(self, client: Client, command: DeleteAccount) -> Answer:
        command.actor = client.connection.account
        client.deleting = True
        try:
            answer = await self._node.bus.ask(
                subjects.DELETE_ACCOUNT, command, seconds=self._node.settings.edge.request_seconds, retry=True
            )
        finally:
            client.deleting = False
            self._node.revisions_heard(client.connection.revision)  # what was not obeyed meanwhile
        client.log_out()
        return answer
