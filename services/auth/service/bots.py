"""Bots: accounts of programs. A bot's owner, and operators, make and delete the bot and its tokens."""

import time
import uuid
from dataclasses import dataclass
from functools import partial
from secrets import token_hex
from typing import Any, NamedTuple

from services.auth import domain
from services.auth.domain import IssuedToken
from services.auth.service.deletion import AccountDeletion
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.ports import EventOutbox, TokenIssuer
from services.auth.service.revocations import TokenRevocations
from services.auth.store import accounts, bots, trail
from services.auth.store.bots import NewBot, NewBotToken, NewWebhookAccount
from services.auth.store.requests import REVOKED, once, stored
from shared.clock import now_ms
from shared.contract.admin import Act
from shared.contract.auth import DeleteAccount, IdentifierKind, Revocation
from shared.contract.bots import (
    BotList,
    BotTokenView,
    CreateBot,
    CreateBotToken,
    CreatedBot,
    CreatedBotToken,
    CreateWebhookAccount,
    DeleteBot,
    DeleteBotToken,
    ListBots,
)
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.made import EndMade
from shared.contract.routes import Ack
from shared.request_nonce import stored_or
from shared.settings import Settings
from shared.transactions import Transactions


class _Token(NamedTuple):
    """The values from which a token is signed. A repeated request signs the same values again. `issued`: Unix
    seconds."""

    sid: str
    issued: float
    revision: int
    days: float


@dataclass(frozen=True, kw_only=True)
class Bots:
    """`by_operator`: requests come from an operator and may concern bots of all owners. Otherwise, a request concerns
    bots of its actor. Every method may raise RequestError (`unauthenticated`, `invalid`, `unavailable`)."""

    settings: Settings
    database: Transactions
    tokens: TokenIssuer
    limits: LoginLimiter
    revocations: TokenRevocations
    deletion: AccountDeletion
    outbox: EventOutbox
    by_operator: bool = False

    async def create(self, request: CreateBot) -> CreatedBot:
        """Raises RequestError: `forbidden`, `limit`, `rate_limited`."""
        owner = self._owner(request.actor)
        domain.check_bot(request, self.settings.limits.nickname_characters)
        if owner is not None:
            domain.check_no_imitation(request.nickname, self.settings.announcements.name)
        created = await stored_or(self.database, stored(CreatedBot), partial(self._create, request, owner))
        self.outbox.wake()
        return created

    async def _create(self, request: CreateBot, owner: AccountId | None) -> CreatedBot:
        if owner is not None:
            await self.limits.registration(request.origin.address)
        new = NewBot(
            owner=owner or NO_ACCOUNT,
            uuid=str(uuid.uuid4()),
            nickname=request.nickname,
            created=now_ms(),
            most=self.settings.limits.bots_per_account,
            act=Act("create bot", by=self._by, address=request.origin.address),
        )
        return await self.database.write(once(bots.create, CreatedBot), new)

    async def create_webhook_account(self, request: CreateWebhookAccount) -> CreatedBot:
        """Raises RequestError: `invalid`, `rate_limited`."""
        domain.check_actor(request.maker)
        domain.check_bot(CreateBot(request.name), self.settings.limits.nickname_characters)
        domain.check_no_imitation(request.name, self.settings.announcements.name)
        created = await stored_or(self.database, stored(CreatedBot), partial(self._create_webhook_account, request))
        self.outbox.wake()
        return created

    async def _create_webhook_account(self, request: CreateWebhookAccount) -> CreatedBot:
        await self.limits.webhook(request.maker)
        new = NewWebhookAccount(str(uuid.uuid4()), request.name, request.signature, now_ms(), request.maker)
        return await self.database.write(once(bots.create_webhook_account, CreatedBot), new)

    async def list(self, request: ListBots) -> BotList:
        domain.check_number(request.after, "after")
        owner, seconds = self._owner(request.actor), int(time.time())
        return await self.database.read(bots.list_bots, owner, request.after, seconds)

    async def delete(self, request: DeleteBot) -> Ack:
        """Raises RequestError: `not_found`."""
        owner = self._owner(request.actor)
        domain.check_number(request.bot, "account")
        await stored_or(self.database, stored(*REVOKED), partial(self._delete, request.bot, owner))
        return Ack()

    async def _delete(self, bot: AccountId, owner: AccountId | None) -> Revocation | None:
        await self.database.read(bots.check_owner, bot, owner)
        return await self.deletion.carry_out(DeleteAccount(bot), self._by)

    async def create_token(self, request: CreateBotToken) -> CreatedBotToken:
        """Raises RequestError: `not_found`, `forbidden`, `limit`."""
        owner = self._owner(request.actor)
        domain.check_bot_token(request)
        make = partial(self._create_token, request, owner)
        token = self._sign(request, await stored_or(self.database, stored(_Token), make))
        return CreatedBotToken(token.sid, token.text, token.expires)

    async def _create_token(self, request: CreateBotToken, owner: AccountId | None) -> _Token:
        began, longest = time.time(), self.settings.auth.bot_token_days
        found = await self.database.read(accounts.find, IdentifierKind.ID, str(request.bot))
        scopes = sorted(set(request.scopes))
        token = _Token(token_hex(16), began, found.revision, min(request.days or longest, longest))
        expires = self._sign(request, token).expires
        new = NewBotToken(
            token=BotTokenView(token.sid, request.name, scopes, int(began * 1000), expires),
            revision=found.revision,
            most=self.settings.limits.tokens_per_bot,
            seconds=int(began),
            act=Act("create bot token", request.bot, self._by, detail=" ".join(scopes)),
        )

        def add(connection: Any) -> _Token:
            bots.add_token(connection, request.bot, owner, new)
            return token

        return await self.database.write(once(add, _Token))

    def _sign(self, request: CreateBotToken, token: _Token) -> IssuedToken:
        scopes = sorted(set(request.scopes))
        return self.tokens.issue_to_bot(request.bot, token.issued, token.revision, scopes, token.days, token.sid)

    async def delete_token(self, request: DeleteBotToken) -> Ack:
        """Raises RequestError: `not_found`."""
        owner = self._owner(request.actor)
        domain.check_number(request.bot, "account")
        domain.check_opaque(request.sid, "sid")
        act = Act("delete bot token", request.bot, self._by)
        await self.revocations.carry_out(bots.revoke_token, act, request.bot, owner, request.sid)
        return Ack()

    async def end_tokens(self, request: EndMade) -> Ack:
        """Revokes the tokens of all bots of the account."""
        domain.check_actor(request.actor)
        revoke = trail.recorded(bots.revoke_tokens, Act("delete bot tokens", request.actor, self._by))
        for revocation in await self.database.write(once(revoke, list[Revocation]), request.actor):
            await self.revocations.publish(revocation)
        return Ack()

    @property
    def _by(self) -> str:
        return "admin" if self.by_operator else "user"

    def _owner(self, actor: AccountId) -> AccountId | None:
        """The owner whose bots the request may concern; None if it may concern the bots of all owners. Raises
        RequestError."""
        if self.by_operator:
            return None
        domain.check_actor(actor)
        return actor
