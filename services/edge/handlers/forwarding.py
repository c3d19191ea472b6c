"""Forwards commands that the session or auth service answers as they are. Only the account that sends the command is
added."""

import msgspec

from shared.bus.client import Bus
from shared.contract.contacts import LookUpAccounts
from shared.contract.ids import AccountId, ChatId
from shared.contract.routes import Forwarded
from shared.contract.session import ChatViews, ChatWithMembers, FindAccounts, ListChatViews, OpenPrivateChat
from shared.request_nonce import request_nonce_of


class Forwarder:
    """Repeats each request until the time of the operation ends. The nonce ensures that a request has its effect only
    once. Every method may raise RequestError."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def forward(self, command: Forwarded, actor: AccountId) -> msgspec.Struct:
        """Raises RequestError."""
        command.set_actor(actor)
        nonce = request_nonce_of(actor, getattr(command, "nonce", ""))
        request = self._bus.request(command.route, command, retry=True, nonce=nonce)
        reply: msgspec.Struct = await request
        return reply

    async def find_accounts(self, uuids: list[str]) -> dict[str, AccountId]:
        request = self._bus.send(FindAccounts(uuids), retry=True)
        return (await request).accounts

    async def look_up(self, identifier: str, actor: AccountId) -> list[AccountId]:
        request = LookUpAccounts(identifier, actor)
        return (await self._bus.send(request)).accounts

    async def open_private_chat(self, other: AccountId, actor: AccountId) -> ChatId:
        request = OpenPrivateChat(other, actor)
        return (await self._bus.send(request, retry=True)).chat

    async def list_chats(self, command: ListChatViews, actor: AccountId) -> ChatViews:
        """Return the chats of all pages."""
        command.actor = actor
        chats: list[ChatWithMembers] = []
        while True:
            page = await self._bus.send(command, retry=True)
            chats += page.chats
            if not page.more or not page.chats:
                return ChatViews(chats)
            command = msgspec.structs.replace(command, after=chats[-1].chat.id)
