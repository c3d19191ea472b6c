"""Lists and deletes the webhooks and links that accounts have made, for the accounts themselves and for the
operator."""

from collections.abc import Collection, Sequence
from typing import TypeVar

import msgspec

from services.session import domain
from services.session.service.ports import ChangeNotifier
from services.session.store import made
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.auth import FindInactive
from shared.contract.bots import CreatedBot, CreateWebhookAccount
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId, ChatId
from shared.contract.made import DeleteAnyWebhook, EndMade, ListAllWebhooks, ListMade, Made, WebhookPage
from shared.contract.members import InvitationLink
from shared.contract.routes import Ack, SendRequest
from shared.contract.webhooks import IncomingWebhookView, OutgoingWebhookView
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)
_REQUEST_SECONDS = 3.0
_ACCOUNTS = 1_000
"""The most accounts in one request."""


class MadeByAccounts:
    def __init__(self, database: Transactions, notifier: ChangeNotifier) -> None:
        self._database = database
        self._notifier = notifier

    async def list_made(self, request: ListMade) -> Made:
        return await self._database.read(made.list_made, request.actor, now_ms())

    async def end_made(self, request: EndMade) -> Ack:
        await self._notifier.publish(await self._database.write(made.end_made, request.actor, now_ms()))
        return Ack()

    async def list_hooks(self, request: ListAllWebhooks) -> WebhookPage:
        return await self._database.read(made.list_hooks, request)

    async def delete_hook(self, request: DeleteAnyWebhook) -> Ack:
        domain.check_link(request.hook, "hook")
        delete = once(made.delete_hook, dict[ChatId, int] | None)
        deleted = await self._database.write(delete, request.hook, now_ms())
        if deleted is None:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such webhook", "hook")
        await self._notifier.publish(deleted)
        _log.info("operator acts", act="delete webhook", by="admin", hook=request.hook)
        return Ack()


V = TypeVar("V", IncomingWebhookView, OutgoingWebhookView, InvitationLink)


class Makers:
    """Requests about the makers of webhooks and links. Every method raises RequestError when auth does not answer."""

    def __init__(self, request: SendRequest) -> None:
        self._request = request

    async def may_act(self, *accounts: AccountId) -> bool:
        """Whether auth permits all of these accounts to act now."""
        return not await self._inactive(accounts)

    async def mark_paused(self, made: Sequence[V]) -> list[V]:
        """Mark webhooks and links as paused if their maker, or the account that posts for them, is inactive."""
        if not made:
            return []
        acting = [_acting(one) for one in made]
        inactive = await self._inactive(sorted(frozenset().union(*acting)))
        return [
            one if accounts.isdisjoint(inactive) else msgspec.structs.replace(one, paused=True)
            for one, accounts in zip(made, acting, strict=True)
        ]

    async def _inactive(self, accounts: Sequence[AccountId]) -> Collection[AccountId]:
        """Returns the inactive accounts among `accounts`. Auth does not permit an inactive account to act now."""
        found: list[AccountId] = []
        for start in range(0, len(accounts), _ACCOUNTS):
            request = FindInactive([*accounts[start : start + _ACCOUNTS]])
            reply = await self._request(request, seconds=_REQUEST_SECONDS, retry=True)
            found += reply.accounts
        return found

    async def create_account(self, name: str, signature: str, maker: AccountId, nonce: str) -> CreatedBot:
        """Creates the account by which an incoming webhook posts. For ten minutes, a request with the same nonce gets
        the same account."""
        request = CreateWebhookAccount(name, signature, maker)
        return await self._request(request, seconds=_REQUEST_SECONDS, retry=True, nonce=nonce)


def _acting(made: IncomingWebhookView | OutgoingWebhookView | InvitationLink) -> frozenset[AccountId]:
    """The maker; for an incoming webhook, also the webhook's own account."""
    own = made.account if isinstance(made, IncomingWebhookView) else NO_ACCOUNT
    return frozenset({made.by, own}) - {NO_ACCOUNT}
