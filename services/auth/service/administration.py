"""An operator's actions on accounts. Each action is logged with its account, never with a secret."""

import time
from dataclasses import dataclass
from functools import partial

from services.auth import domain
from services.auth.domain import Account
from services.auth.service.deletion import AccountDeletion
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.ports import EdgeNotifications, PasswordHashing, Transactions
from services.auth.service.revocations import TokenRevocations
from services.auth.store import accounts, revocations
from shared.contract.admin import FindUser, Kick, ResetPassword, SetDisabled, UserView
from shared.contract.auth import DeleteAccount, IdentifierKind, SetMaintenance
from shared.contract.edge import Kicked, MaintenanceSet
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.session import Ack
from shared.telemetry import log

_log = log(__name__)


@dataclass(frozen=True, kw_only=True)
class Administration:
    """Raises RequestError: `not_found`, `invalid`, `unavailable`."""

    database: Transactions
    passwords: PasswordHashing
    limits: LoginLimiter
    notifier: EdgeNotifications
    revocations: TokenRevocations
    deletion: AccountDeletion

    async def find(self, request: FindUser) -> UserView:
        account = await self._find(request.kind, request.identifier)
        _audit("find", account.id)
        return UserView(
            account=account.id,
            uuid=account.profile.uuid,
            email=account.email,
            username=account.username,
            nickname=account.profile.nickname,
            created=account.profile.created,
            disabled=account.disabled,
            schemes=sorted(account.verifiers),
            recoverable=account.answer is not None,
        )

    async def set_disabled(self, request: SetDisabled) -> Ack:
        domain.check_actor(request.account)
        if request.disabled:
            seconds = domain.void_before(time.time())
            step = partial(accounts.disable, account=request.account, seconds=seconds)
            if (revocation := await self.database.write(step)) is None:
                raise _not_found()
            await self.revocations.publish(revocation)
        elif not await self.database.write(partial(accounts.enable, account=request.account)):
            raise _not_found()
        _audit("disable" if request.disabled else "enable", request.account)
        return Ack()

    async def reset_password(self, request: ResetPassword) -> Ack:
        """Also removes the security question, and forgets the failed logins, so that they neither delay the next login
        nor require a verification."""
        domain.check_secret(Secret(Scheme.PLAIN, request.password))
        account = await self._find(IdentifierKind.ID, str(request.account))
        texts = domain.reset_verifier_texts(request.password, account.verifiers)
        hashes = await self.passwords.hash(list(texts.values()))
        step = partial(
            accounts.reset_secrets,
            account=account.id,
            verifiers=dict(zip(texts, hashes, strict=True)),
            seconds=domain.void_before(time.time()),
        )
        if (revocation := await self.database.write(step)) is None:
            raise _not_found()
        await self.revocations.publish(revocation)
        await self.limits.reset(str(account.id))
        _audit("reset password", account.id)
        return Ack()

    async def kick(self, request: Kick) -> Ack:
        account = await self._find(IdentifierKind.ID, str(request.account))
        await self.notifier.notify_all(Kicked(account.id))
        _audit("kick", account.id)
        return Ack()

    async def delete(self, request: DeleteAccount) -> Ack:
        done = await self.deletion.delete(request)
        _audit("delete", request.actor)
        return done

    async def set_maintenance(self, request: SetMaintenance) -> Ack:
        await self.database.write(partial(revocations.set_maintenance, on=request.on))
        await self.notifier.notify_all(MaintenanceSet(request.on))
        _log.info("operator acts", act="maintenance", by="admin", on=request.on)
        return Ack()

    async def _find(self, kind: IdentifierKind, identifier: str) -> Account:
        domain.check_identifier(identifier)
        step = partial(accounts.find, kind=kind, identifier=identifier)
        account = (await self.database.read(step)).account
        if account is None:
            raise _not_found()
        return account


def _audit(act: str, account: AccountId) -> None:
    _log.info("operator acts", act=act, by="admin", account=account)


def _not_found() -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "there is no such account", "account")
