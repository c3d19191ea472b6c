"""Guests: accounts without a secret, for users who only visit. A guest's account is deleted when its connection
ends."""

import hmac
import re
import time
import uuid
from dataclasses import dataclass
from functools import partial

from services.auth import domain
from services.auth.service.deletion import HOUSEKEEPING, AccountDeletion
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.registration import Registered, conflict, register
from services.auth.service.sessions import LoginSessions
from services.auth.store import accounts
from services.auth.store.accounts import IdentifierTaken, NewAccount
from services.auth.store.requests import once, stored
from shared.clock import now_ms
from shared.contract.auth import Authenticated, DeleteAccount, Register
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.guests import GuestRenamed, KeepGuests, RegisterGuest, RenameGuest
from shared.contract.model import Scheme, Secret
from shared.contract.routes import Ack
from shared.irc_names import guest_nickname, is_nick
from shared.request_nonce import stored_or
from shared.settings import Settings
from shared.transactions import Transactions

_USER = re.compile(r"[!-?A-~]{1,16}")
"""The characters that the part `user` of the IRC name `nick!user@host` may have."""
_REAL_NAME_CHARACTERS = 128
ABANDONED_SECONDS = 180
"""A guest that no edge has reported for this time is abandoned. Edges report their guests every minute."""


@dataclass(frozen=True, kw_only=True)
class Guests:
    """Every method may raise RequestError."""

    settings: Settings
    database: Transactions
    sessions: LoginSessions
    limits: LoginLimiter
    deletion: AccountDeletion

    async def register(self, request: RegisterGuest) -> Authenticated:
        """Raises RequestError: `forbidden`, `conflict`, `invalid`, `rate_limited`."""
        if not self.settings.irc.guests:
            raise RequestError(ErrorCode.FORBIDDEN, "this server has no guests", reason=Reason.SWITCHED_OFF)
        self._check_nick(request.nick)
        if _USER.fullmatch(request.guest) is None:
            raise RequestError(ErrorCode.INVALID, "a user of IRC cannot have this name", "guest")
        domain.check_text(request.signature, "signature", _REAL_NAME_CHARACTERS)
        await self._check_password(request)
        began = time.time()
        made = await stored_or(self.database, stored(Registered), partial(self._register, request))
        self.deletion.outbox.wake()
        if (account := await self.database.read(accounts.find_numbered, made.account)) is None:
            raise RequestError(ErrorCode.UNAUTHENTICATED, "the guest has left meanwhile")
        return await self.sessions.start(account, made.revision, began, request.origin, "")

    async def _check_password(self, request: RegisterGuest) -> None:
        """A wrong password counts as a registration, which limits the attempts to guess it. The password is checked
        last. Otherwise, an error that does not count would show that the password was right."""
        wanted = self.settings.irc.guest_password.get_secret_value()
        if wanted and not hmac.compare_digest(request.password.value.encode(), wanted.encode()):
            await self.limits.registration(request.origin.address)
            raise RequestError(ErrorCode.UNAUTHENTICATED, "the password of this server is wrong")

    async def _register(self, request: RegisterGuest) -> Registered:
        await self.limits.registration(request.origin.address)
        named = Register(
            secret=Secret(Scheme.PLAIN, ""), nickname=guest_nickname(request.nick, self.settings.language),
            username=request.nick, signature=request.signature,
        )  # fmt: skip
        new = NewAccount(named, str(uuid.uuid4()), now_ms(), False, {}, None, None, request.guest)

        try:
            return await self.database.write(once(register, Registered), new)
        except IdentifierTaken as error:
            raise conflict("nick") from error

    async def rename(self, request: RenameGuest) -> GuestRenamed:
        """Raises RequestError: `forbidden`, `conflict`, `invalid`."""
        domain.check_actor(request.actor)
        self._check_nick(request.nick)
        nickname = guest_nickname(request.nick, self.settings.language)
        try:
            if not await self.database.write(accounts.rename_guest, request.actor, request.nick, nickname):
                raise RequestError(ErrorCode.FORBIDDEN, "only a guest can have such a name", reason=Reason.WRONG_KIND)
        except IdentifierTaken as error:
            raise conflict("nick") from error
        return GuestRenamed(nickname)

    def _check_nick(self, nick: str) -> None:
        if not is_nick(nick):
            raise RequestError(ErrorCode.INVALID, "a guest cannot have this nick", "nick")
        domain.check_no_imitation(nick, self.settings.announcements.name)

    async def keep(self, request: KeepGuests) -> Ack:
        await self.database.write(accounts.keep_guests, request.accounts, now_ms())
        return Ack()

    async def end_abandoned(self) -> None:
        """Deletes the guests whose edge ended without deleting them."""
        for account in await self.database.read(accounts.list_abandoned_guests, now_ms() - ABANDONED_SECONDS * 1_000):
            await self.deletion.carry_out(DeleteAccount(account, of_guest=True), HOUSEKEEPING)
