"""What accounts have made, for the accounts themselves and for the operator."""

from collections.abc import Collection, Sequence
from typing import TypeVar

import msgspec

from services.session import domain
from services.session.service.ports import ChangeNotifier
from services.session.store import made
from shared.clock import now_ms
from shared.contract.auth import FindInactive
from shared.contract.bots import CreatedBot, CreateHookAccount
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.hooks import HookView, OutgoingHookView
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.made import DeleteAnyHook, EndMade, HookPage, ListAllHooks, ListMade, Made
from shared.contract.members import InvitationLink
from shared.contract.routes import Ack, SendRequest
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)
_REQUEST_SECONDS = 3.0
_ACCOUNTS = 1_000
"""In one request."""


class MadeByAccounts:
    def __init__(self, database: Transactions, notifier: ChangeNotifier) -> None:
        self._database = database
        self._notifier = notifier

    async def list_made(self, request: ListMade) -> Made:
        domain.check_actor(request.actor)
        return await self._database.read(made.list_made, request.actor, now_ms())

    async def end_made(self, request: EndMade) -> Ack:
        domain.check_actor(request.actor)
        await self._notifier.publish(await self._database.write(made.end_made, request.actor, now_ms()))
        return Ack()

    async def list_hooks(self, request: ListAllHooks) -> HookPage:
        return await self._database.read(made.list_hooks, request)

    async def delete_hook(self, request: DeleteAnyHook) -> Ack:
        domain.check_link(request.hook, "hook")
        deleted = await self._database.write(made.delete_hook, request.hook, now_ms())
        if deleted is None:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such hook", "hook")
        await self._notifier.publish(deleted)
        _log.info("operator acts", act="delete hook", by="admin", hook=request.hook)
        return Ack()


V = TypeVar("V", HookView, OutgoingHookView, InvitationLink)


class Makers:
    """All raise RequestError when auth does not answer."""

    def __init__(self, request: SendRequest) -> None:
        self._request = request

    async def may_act(self, *accounts: AccountId) -> bool:
        """Whether all of them may."""
        return not await self._inactive(accounts)

    async def mark_paused(self, made: Sequence[V]) -> list[V]:
        """What inactive accounts have made is paused, whatever their roles are, and what posts as such an account."""
        if not made:
            return []
        acting = [_acting(one) for one in made]
        inactive = await self._inactive(sorted(frozenset().union(*acting)))
        return [
            one if accounts.isdisjoint(inactive) else msgspec.structs.replace(one, paused=True)
            for one, accounts in zip(made, acting, strict=True)
        ]

    async def _inactive(self, accounts: Sequence[AccountId]) -> Collection[AccountId]:
        """Those of the accounts that auth lets do nothing now."""
        found: list[AccountId] = []
        for start in range(0, len(accounts), _ACCOUNTS):
            request = FindInactive([*accounts[start : start + _ACCOUNTS]])
            reply = await self._request(FindInactive.route, request, seconds=_REQUEST_SECONDS, retry=True)
            found += reply.accounts
        return found

    async def create_account(self, name: str, signature: str, maker: AccountId, nonce: str) -> CreatedBot:
        """An account by which an incoming webhook posts: for a nonce the same one, for ten minutes."""
        request = CreateHookAccount(name, signature, maker)
        return await self._request(CreateHookAccount.route, request, seconds=_REQUEST_SECONDS, retry=True, nonce=nonce)


def _acting(made: HookView | OutgoingHookView | InvitationLink) -> frozenset[AccountId]:
    """The maker and, of an incoming webhook, its own account."""
    own = made.account if isinstance(made, HookView) else NO_ACCOUNT
    return frozenset({made.by, own}) - {NO_ACCOUNT}
