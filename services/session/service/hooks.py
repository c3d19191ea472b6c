"""Incoming webhooks of groups: made, listed and deleted by the owner and the admins, found by the edges."""

import base64
import hashlib
import secrets
from functools import partial
from typing import NamedTuple

import msgspec

from services.session import domain
from services.session.service.made import Makers
from services.session.store import hooks
from services.session.store.hooks import NewIncomingHook
from services.session.store.requests import once, stored
from shared.clock import now_ms
from shared.contract.bots import CreatedBot
from shared.contract.hooks import CreatedHook, CreateHook, DeleteHook, FindHook, FoundHook, HookList, ListHooks
from shared.contract.ids import AccountId
from shared.contract.routes import Ack
from shared.request_nonce import derived, new_nonce, request_nonce, stored_or
from shared.settings import Settings
from shared.transactions import Transactions

_SECRET_BYTES = 24
_NUMBER_BYTES = 8
_SALT_BYTES = 32


class _Made(NamedTuple):
    """What a repetition gets the same reply from."""

    account: AccountId
    salt: bytes


def _name_and_secret(salt: bytes) -> tuple[str, str]:
    """The same ones for the same salt and request. The secret is stored nowhere."""
    number, secret = derived(salt, b"number "), derived(salt, b"secret ")
    return number[:_NUMBER_BYTES].hex(), base64.urlsafe_b64encode(secret[:_SECRET_BYTES]).decode()


class Hooks:
    def __init__(self, database: Transactions, makers: Makers, settings: Settings) -> None:
        self._database = database
        self._makers = makers
        self._limits = settings.limits
        self._reserved = settings.notices.name

    async def create(self, request: CreateHook) -> CreatedHook:
        domain.check_in_chat(request)
        request.name = domain.hook_name(request.name, self._limits)
        domain.check_no_imitation("name", request.name, self._reserved)
        made = await stored_or(self._database, stored(_Made), partial(self._create, request))
        number, secret = _name_and_secret(made.salt)
        return CreatedHook(number, secret, made.account)

    async def _create(self, request: CreateHook) -> _Made:
        salt = secrets.token_bytes(_SALT_BYTES)
        number, secret = _name_and_secret(salt)
        await self._database.read(hooks.check_place, request, self._limits)
        account = await self._new_account(request.name, request.actor, request_nonce.get() or new_nonce())
        new = NewIncomingHook(number, hashlib.sha256(secret.encode()).hexdigest(), account)
        create = partial(hooks.create, request=request, new=new, limits=self._limits, now=now_ms())
        return await self._database.write(once(lambda connection: _Made(create(connection), salt), _Made))

    async def _new_account(self, name: str, maker: AccountId, cause: str) -> CreatedBot:
        """The same one for the same cause, for ten minutes."""
        nonce = hashlib.sha256(f"account {cause}".encode()).hexdigest()
        return await self._makers.create_account(name, hooks.signature_of(maker), maker, nonce)

    async def list_hooks(self, request: ListHooks) -> HookList:
        domain.check_in_chat(request)
        found = await self._database.read(hooks.list_hooks, request)
        return HookList(await self._makers.mark_paused(found.hooks))

    async def delete(self, request: DeleteHook) -> Ack:
        domain.check_in_chat(request)
        domain.check_link(request.hook, "hook")
        await self._database.write(hooks.delete, request)
        return Ack()

    async def find(self, request: FindHook) -> FoundHook:
        domain.check_link(request.digest, "digest")
        found = await self._database.read(hooks.find, request.digest, brief=True)
        own = [found.account] if found.account else []
        if not await self._makers.may_act(found.by, *own):
            raise hooks.paused_hook()
        return found if own else await self._with_account(found)

    async def _with_account(self, found: FoundHook) -> FoundHook:
        """Of a hook that was made before hooks had accounts."""
        account = await self._new_account(found.name, found.by, f"hook {found.hook}")
        given = await self._database.write(hooks.give_account, found.hook, account, found.by, now_ms())
        return msgspec.structs.replace(found, account=given)
