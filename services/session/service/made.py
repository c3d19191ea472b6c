"""What accounts have made, for the accounts themselves and for the operator."""

from functools import partial

from services.session import domain
from services.session.service.ports import ChangeNotifier, SessionDatabase
from services.session.store import made
from shared.clock import now_ms
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.made import DeleteAnyHook, EndMade, HookPage, ListAllHooks, ListMade, Made
from shared.contract.routes import Ack
from shared.telemetry import log

_log = log(__name__)


class MadeByAccounts:
    def __init__(self, database: SessionDatabase, notifier: ChangeNotifier) -> None:
        self._database = database
        self._notifier = notifier

    async def list_made(self, request: ListMade) -> Made:
        domain.check_actor(request.actor)
        return await self._database.read(partial(made.list_made, account=request.actor, now=now_ms()))

    async def end_made(self, request: EndMade) -> Ack:
        domain.check_actor(request.actor)
        end = partial(made.end_made, account=request.actor, now=now_ms())
        await self._notifier.publish(await self._database.write(end))
        return Ack()

    async def list_hooks(self, request: ListAllHooks) -> HookPage:
        return await self._database.read(partial(made.list_hooks, request=request))

    async def delete_hook(self, request: DeleteAnyHook) -> Ack:
        domain.check_link(request.hook, "hook")
        deleted = await self._database.write(partial(made.delete_hook, number=request.hook, now=now_ms()))
        if deleted is None:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such hook", "hook")
        await self._notifier.publish(deleted)
        _log.info("operator acts", act="delete hook", by="admin", hook=request.hook)
        return Ack()
