"""Outgoing hooks of groups: made, listed, replayed and deleted by the owner and the admins."""

import secrets

from services.session import domain
from services.session.service.hook_delivery import secret_of
from services.session.service.made import Makers
from services.session.service.message_reader import MessageReader
from services.session.service.ports import ChangeNotifier
from services.session.store import outgoing_hooks
from services.session.store.outgoing_hooks import NewHook
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.hooks import (
    CreatedOutgoingHook,
    CreateOutgoingHook,
    DeleteOutgoingHook,
    ListOutgoingHooks,
    OutgoingHookList,
    ReplayedOutgoingHook,
    ReplayOutgoingHook,
)
from shared.contract.routes import Ack
from shared.outgoing_addresses import AddressRules
from shared.settings import Settings
from shared.transactions import Transactions

_KEY_BYTES = 32
_NUMBER_BYTES = 8


class OutgoingHooks:
    """Message learns of the first hook of a group by the group's new version."""

    def __init__(
        self,
        database: Transactions,
        notifier: ChangeNotifier,
        heads: MessageReader,
        makers: Makers,
        settings: Settings,
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._heads = heads
        self._makers = makers
        self._limits = settings.limits
        self._is_enabled = settings.outgoing_hooks.enabled
        self._rules = AddressRules(settings.outgoing_hooks.permitted_networks)

    async def create(self, request: CreateOutgoingHook) -> CreatedOutgoingHook:
        domain.check_in_chat(request)
        request.name = domain.hook_name(request.name, self._limits)
        if not self._is_enabled:
            raise RequestError(ErrorCode.FORBIDDEN, "outgoing hooks are switched off here")
        if len(request.endpoint.encode()) > self._limits.address_url_bytes:
            most = self._limits.address_url_bytes
            raise RequestError(ErrorCode.TOO_LARGE, f"an address has at most {most} bytes", "endpoint")
        self._rules.check_endpoint(request.endpoint)
        await self._database.read(outgoing_hooks.check_manages, request.chat, request.actor)
        head = await self._heads.last_index(request.chat)
        new = NewHook(secrets.token_hex(_NUMBER_BYTES), secret_of(secrets.token_bytes(_KEY_BYTES)), head)
        version, new = await self._database.write(
            once(outgoing_hooks.create, tuple[int, NewHook]), request, new, self._limits, now_ms()
        )
        await self._notifier.publish({request.chat: version})
        return CreatedOutgoingHook(new.hook, new.secret, new.head + 1)

    async def list_hooks(self, request: ListOutgoingHooks) -> OutgoingHookList:
        domain.check_in_chat(request)
        found = await self._database.read(outgoing_hooks.list_hooks, request)
        return OutgoingHookList(await self._makers.mark_paused(found.hooks))

    async def delete(self, request: DeleteOutgoingHook) -> Ack:
        domain.check_in_chat(request)
        domain.check_link(request.hook, "hook")
        await self._notifier.publish(
            {request.chat: await self._database.write(outgoing_hooks.delete, request, now_ms())}
        )
        return Ack()

    async def replay(self, request: ReplayOutgoingHook) -> ReplayedOutgoingHook:
        domain.check_in_chat(request)
        domain.check_link(request.hook, "hook")
        if request.index < 1:
            raise RequestError(ErrorCode.INVALID, "indexes count from 1", "index")
        await self._database.read(outgoing_hooks.check_manages, request.chat, request.actor)
        head = await self._heads.last_index(request.chat)
        return ReplayedOutgoingHook(await self._database.write(outgoing_hooks.replay, request, head, now_ms()))
