"""Bots: accounts of programs. Their owners, and operators, make and delete them and their tokens."""

import time
import uuid
from dataclasses import dataclass
from functools import partial

from services.auth import domain
from services.auth.service.deletion import AccountDeletion
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.ports import BotTokenIssuer, EventOutbox, Transactions
from services.auth.service.revocations import TokenRevocations
from services.auth.store import accounts, bots, trail
from services.auth.store.bots import NewBot, NewBotToken, NewHookAccount
from shared.clock import now_ms
from shared.contract.admin import Act
from shared.contract.auth import DeleteAccount, IdentifierKind
from shared.contract.bots import (
    BotList,
    BotTokenView,
    CreateBot,
    CreateBotToken,
    CreatedBot,
    CreatedBotToken,
    CreateHookAccount,
    DeleteBot,
    DeleteBotToken,
    ListBots,
)
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.made import EndMade
from shared.contract.session import Ack
from shared.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Bots:
    """`by_operator`: a request is the operator's, for bots of any owner; otherwise its actor's. All raise RequestError
    (`unauthenticated`, `invalid`, `unavailable`)."""

    settings: Settings
    database: Transactions
    tokens: BotTokenIssuer
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
            domain.check_no_imitation(request.nickname, self.settings.notices.name)
            await self.limits.registration(request.origin.address)
        new = NewBot(
            owner=owner or NO_ACCOUNT,
            uuid=str(uuid.uuid4()),
            nickname=request.nickname,
            created=now_ms(),
            most=self.settings.limits.bots_per_account,
            act=Act("create bot", by=self._by, address=request.origin.address),
        )
        created = await self.database.write(partial(bots.create, new=new))
        self.outbox.wake()
        return created

    async def create_hook_account(self, request: CreateHookAccount) -> CreatedBot:
        """Raises RequestError: `invalid`, `rate_limited`."""
        domain.check_actor(request.maker)
        domain.check_bot(CreateBot(request.name), self.settings.limits.nickname_characters)
        domain.check_no_imitation(request.name, self.settings.notices.name)
        await self.limits.hook(request.maker)
        new = NewHookAccount(str(uuid.uuid4()), request.name, request.signature, now_ms(), request.maker)
        created = await self.database.write(partial(bots.create_hook_account, new=new))
        self.outbox.wake()
        return created

    async def list(self, request: ListBots) -> BotList:
        domain.check_number(request.after, "after")
        owner, seconds = self._owner(request.actor), int(time.time())
        return await self.database.read(partial(bots.list_bots, owner=owner, after=request.after, seconds=seconds))

    async def delete(self, request: DeleteBot) -> Ack:
        """Raises RequestError: `not_found`."""
        owner = self._owner(request.actor)
        domain.check_number(request.bot, "account")
        await self.database.read(partial(bots.check_owner, bot=request.bot, owner=owner))
        return await self.deletion.delete(DeleteAccount(request.bot), self._by)

    async def create_token(self, request: CreateBotToken) -> CreatedBotToken:
        """Raises RequestError: `not_found`, `forbidden`, `limit`."""
        owner = self._owner(request.actor)
        domain.check_bot_token(request)
        began, longest = time.time(), self.settings.auth.bot_token_days
        find = partial(accounts.find, kind=IdentifierKind.ID, identifier=str(request.bot))
        found = await self.database.read(find)
        issued = max(began, found.account.tokens_from if found.account else 0)
        scopes, days = sorted(set(request.scopes)), min(request.days or longest, longest)
        token = self.tokens.issue_to_bot(request.bot, issued, found.revision, scopes, days)
        new = NewBotToken(
            token=BotTokenView(token.sid, request.name, scopes, int(issued * 1000), token.expires),
            revision=found.revision,
            most=self.settings.limits.tokens_per_bot,
            seconds=int(began),
            act=Act("create bot token", request.bot, self._by, detail=" ".join(scopes)),
        )
        await self.database.write(partial(bots.add_token, bot=request.bot, owner=owner, new=new))
        return CreatedBotToken(token.sid, token.text, token.expires)

    async def delete_token(self, request: DeleteBotToken) -> Ack:
        """Raises RequestError: `not_found`."""
        owner = self._owner(request.actor)
        domain.check_number(request.bot, "account")
        domain.check_opaque(request.sid, "sid")
        revoke = partial(bots.revoke_token, bot=request.bot, owner=owner, sid=request.sid)
        step = trail.recorded(revoke, Act("delete bot token", request.bot, self._by))
        await self.revocations.publish(await self.database.write(step))
        return Ack()

    async def end_tokens(self, request: EndMade) -> Ack:
        """Revokes the tokens of all bots of the account."""
        domain.check_actor(request.actor)
        end = partial(bots.revoke_tokens, owner=request.actor)
        step = trail.recorded(end, Act("delete bot tokens", request.actor, self._by))
        for revocation in await self.database.write(step):
            await self.revocations.publish(revocation)
        return Ack()

    @property
    def _by(self) -> str:
        return "admin" if self.by_operator else "user"

    def _owner(self, actor: AccountId) -> AccountId | None:
        """Whose bots a request is about; None: those of all. Raises RequestError."""
        if self.by_operator:
            return None
        domain.check_actor(actor)
        return actor
