"""Webhooks of groups. The owner and the admins create, list and delete them. The edges find incoming webhooks."""

import base64
import hashlib
import secrets
from functools import partial
from typing import NamedTuple

from services.session import domain
from services.session.service.made import Makers
from services.session.service.message_reader import MessageReader
from services.session.service.ports import ChangeNotifier
from services.session.service.webhook_delivery import secret_of
from services.session.store import incoming_webhooks, outgoing_webhooks
from services.session.store.incoming_webhooks import NewIncomingWebhook
from services.session.store.outgoing_webhooks import NewOutgoingWebhook
from services.session.store.requests import once, stored
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import AccountId
from shared.contract.routes import Ack
from shared.contract.webhooks import (
    CreatedIncomingWebhook,
    CreatedOutgoingWebhook,
    CreateIncomingWebhook,
    CreateOutgoingWebhook,
    DeleteIncomingWebhook,
    DeleteOutgoingWebhook,
    FindIncomingWebhook,
    FoundIncomingWebhook,
    IncomingWebhookList,
    ListIncomingWebhooks,
    ListOutgoingWebhooks,
    OutgoingWebhookList,
    ReplayedOutgoingWebhook,
    ReplayOutgoingWebhook,
)
from shared.outgoing_addresses import AddressRules
from shared.request_nonce import derived, new_nonce, request_nonce, stored_or
from shared.settings import Settings
from shared.transactions import Transactions

_KEY_BYTES = 32


class OutgoingWebhooks:
    """Lets the owner and the admins of a group create, list, delete and replay outgoing webhooks. Creating and deleting
    increments the group's version, so that the message service reads the group again."""

    def __init__(
        self, database: Transactions, notifier: ChangeNotifier, heads: MessageReader, makers: Makers, settings: Settings
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._heads = heads
        self._makers = makers
        self._limits = settings.limits
        self._is_enabled = settings.outgoing_webhooks.enabled
        self._rules = AddressRules(settings.outgoing_webhooks.permitted_networks)

    async def create(self, request: CreateOutgoingWebhook) -> CreatedOutgoingWebhook:
        request.name = domain.webhook_name(request.name, self._limits)
        if not self._is_enabled:
            raise RequestError(
                ErrorCode.FORBIDDEN, "outgoing webhooks are switched off here", reason=Reason.SWITCHED_OFF
            )
        if len(request.endpoint.encode()) > self._limits.address_url_bytes:
            most = self._limits.address_url_bytes
            raise RequestError(ErrorCode.TOO_LARGE, f"an address has at most {most} bytes", "endpoint")
        self._rules.check_endpoint(request.endpoint)
        await self._database.read(outgoing_webhooks.check_manages, request.chat, request.actor)
        head = await self._heads.last_index(request.chat)
        new = NewOutgoingWebhook(secrets.token_hex(_NUMBER_BYTES), secret_of(secrets.token_bytes(_KEY_BYTES)), head)
        version, new = await self._database.write(
            once(outgoing_webhooks.create, tuple[int, NewOutgoingWebhook]), request, new, self._limits, now_ms()
        )
        await self._notifier.publish({request.chat: version})
        return CreatedOutgoingWebhook(new.hook, new.secret, new.head + 1)

    async def list_hooks(self, request: ListOutgoingWebhooks) -> OutgoingWebhookList:
        found = await self._database.read(outgoing_webhooks.list_hooks, request)
        return OutgoingWebhookList(await self._makers.mark_paused(found.hooks))

    async def delete(self, request: DeleteOutgoingWebhook) -> Ack:
        domain.check_link(request.hook, "hook")
        await self._notifier.publish(
            {request.chat: await self._database.write(outgoing_webhooks.delete, request, now_ms())}
        )
        return Ack()

    async def replay(self, request: ReplayOutgoingWebhook) -> ReplayedOutgoingWebhook:
        domain.check_link(request.hook, "hook")
        if request.index < 1:
            raise RequestError(ErrorCode.INVALID, "indexes count from 1", "index", reason=Reason.RANGE)
        await self._database.read(outgoing_webhooks.check_manages, request.chat, request.actor)
        head = await self._heads.last_index(request.chat)
        return ReplayedOutgoingWebhook(await self._database.write(outgoing_webhooks.replay, request, head, now_ms()))


_SECRET_BYTES = 24
_NUMBER_BYTES = 8
_SALT_BYTES = 32


class _Made(NamedTuple):
    """The stored values from which a repeated request gets the same reply."""

    account: AccountId
    salt: bytes


def _name_and_secret(salt: bytes) -> tuple[str, str]:
    """The number that names a webhook, and its secret. The same salt always gives the same number and secret. The
    secret is not stored."""
    number, secret = derived(salt, b"number "), derived(salt, b"secret ")
    return number[:_NUMBER_BYTES].hex(), base64.urlsafe_b64encode(secret[:_SECRET_BYTES]).decode()


class IncomingWebhooks:
    def __init__(self, database: Transactions, makers: Makers, settings: Settings) -> None:
        self._database = database
        self._makers = makers
        self._limits = settings.limits
        self._reserved = settings.announcements.name

    async def create(self, request: CreateIncomingWebhook) -> CreatedIncomingWebhook:
        request.name = domain.webhook_name(request.name, self._limits)
        domain.check_no_imitation("name", request.name, self._reserved)
        made = await stored_or(self._database, stored(_Made), partial(self._create, request))
        number, secret = _name_and_secret(made.salt)
        return CreatedIncomingWebhook(number, secret, made.account)

    async def _create(self, request: CreateIncomingWebhook) -> _Made:
        salt = secrets.token_bytes(_SALT_BYTES)
        number, secret = _name_and_secret(salt)
        await self._database.read(incoming_webhooks.check_place, request, self._limits)
        maker, cause = request.actor, request_nonce.get() or new_nonce()
        # For ten minutes, a request with the same cause gets the same account.
        nonce = hashlib.sha256(f"account {cause}".encode()).hexdigest()
        account = await self._makers.create_account(request.name, domain.webhook_signature(maker), maker, nonce)
        new = NewIncomingWebhook(number, hashlib.sha256(secret.encode()).hexdigest(), account)
        create = partial(incoming_webhooks.create, request=request, new=new, limits=self._limits, now=now_ms())
        return await self._database.write(once(lambda connection: _Made(create(connection), salt), _Made))

    async def list_hooks(self, request: ListIncomingWebhooks) -> IncomingWebhookList:
        found = await self._database.read(incoming_webhooks.list_hooks, request)
        return IncomingWebhookList(await self._makers.mark_paused(found.hooks))

    async def delete(self, request: DeleteIncomingWebhook) -> Ack:
        domain.check_link(request.hook, "hook")
        await self._database.write(incoming_webhooks.delete, request)
        return Ack()

    async def find(self, request: FindIncomingWebhook) -> FoundIncomingWebhook:
        domain.check_link(request.digest, "digest")
        found = await self._database.read(incoming_webhooks.find, request.digest, brief=True)
        if not await self._makers.may_act(found.by, found.account):
            raise incoming_webhooks.paused_webhook()
        return found
