"""Incoming webhooks of groups: made, listed and deleted by the owner and the admins, found by the edges."""

import hashlib
import secrets
from functools import partial

from services.session import domain, names
from services.session.service.makers import Makers
from services.session.service.ports import SessionDatabase
from services.session.store import hooks
from shared.clock import now_ms
from shared.contract.hooks import CreatedHook, CreateHook, DeleteHook, FindHook, FoundHook, HookList, ListHooks
from shared.contract.session import Ack
from shared.settings import Settings

_SECRET_BYTES = 24
_NUMBER_BYTES = 8


class Hooks:
    def __init__(self, database: SessionDatabase, makers: Makers, settings: Settings) -> None:
        self._database = database
        self._makers = makers
        self._limits = settings.limits
        self._reserved = settings.notices.name

    async def create(self, request: CreateHook) -> CreatedHook:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        request.name = names.hook_name(request.name, self._limits)
        names.check_no_imitation("name", request.name, self._reserved)
        created = CreatedHook(secrets.token_hex(_NUMBER_BYTES), secrets.token_urlsafe(_SECRET_BYTES))
        digest = hashlib.sha256(created.secret.encode()).hexdigest()
        create = partial(hooks.create, number=created.hook, digest=digest, limits=self._limits, now=now_ms())
        await self._database.write(partial(create, request=request))
        return created

    async def list_hooks(self, request: ListHooks) -> HookList:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        found = await self._database.read(partial(hooks.list_hooks, request=request))
        return HookList(await self._makers.mark_paused(found.hooks))

    async def delete(self, request: DeleteHook) -> Ack:
        domain.check_actor(request.actor)
        domain.check_chat(request.chat)
        domain.check_link(request.hook, "hook")
        await self._database.write(partial(hooks.delete, request=request))
        return Ack()

    async def find(self, request: FindHook) -> FoundHook:
        domain.check_link(request.digest, "digest")
        found = await self._database.read(partial(hooks.find, digest=request.digest), brief=True)
        if not await self._makers.may_act(found.by):
            raise hooks.paused_hook()
        return found
