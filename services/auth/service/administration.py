"""What an operator does to accounts. Every act is logged, with whom it was about, and never with a secret."""

import time
from dataclasses import dataclass
from functools import partial

from services.auth import domain
from services.auth.domain import Account
from services.auth.service.accounts import Accounts
from services.auth.store import accounts as store
from shared.contract.admin import FindUser, Kick, ResetPassword, SetDisabled, UserView
from shared.contract.auth import DeleteAccount, IdentifierKind, SetMaintenance
from shared.contract.edge import Kicked, MaintenanceSet
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.session import Ack
from shared.telemetry import log

_log = log(__name__)


@dataclass(frozen=True)
class Administration:
    """Stands on what the people themselves may do. Raises Refused: `not_found`, `invalid`, `unavailable`."""

    accounts: Accounts

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
            step = partial(store.disable, account=request.account, seconds=seconds)
            if (revocation := await self.accounts.database.write(step)) is None:
                raise _not_found()
            await self.accounts.publish_revocation(revocation)
        elif not await self.accounts.database.write(partial(store.enable, account=request.account)):
            raise _not_found()
        _audit("disable" if request.disabled else "enable", request.account)
        return Ack()

    async def reset_password(self, request: ResetPassword) -> Ack:
        """Failures with the old password neither delay the next login nor ask for a verification."""
        domain.check_secret(Secret(Scheme.PLAIN, request.password))
        account = await self._find(IdentifierKind.ID, str(request.account))
        texts = domain.reset_verifier_texts(request.password, account.verifiers)
        hashes = await self.accounts.passwords.hash(list(texts.values()))
        step = partial(
            store.reset_secrets,
            account=account.id,
            verifiers=dict(zip(texts, hashes, strict=True)),
            seconds=domain.void_before(time.time()),
        )
        if (revocation := await self.accounts.database.write(step)) is None:
            raise _not_found()
        await self.accounts.publish_revocation(revocation)
        await self.accounts.limits.reset(str(account.id))
        _audit("reset password", account.id)
        return Ack()

    async def kick(self, request: Kick) -> Ack:
        account = await self._find(IdentifierKind.ID, str(request.account))
        await self.accounts.notices.notify_all(Kicked(account.id))
        _audit("kick", account.id)
        return Ack()

    async def delete(self, request: DeleteAccount) -> Ack:
        """As the account itself would."""
        done = await self.accounts.delete(request)
        _audit("delete", request.actor)
        return done

    async def set_maintenance(self, request: SetMaintenance) -> Ack:
        await self.accounts.database.write(partial(store.set_maintenance, on=request.on))
        await self.accounts.notices.notify_all(MaintenanceSet(request.on))
        _log.info("operator acts", act="maintenance", by="admin", on=request.on)
        return Ack()

    async def _find(self, kind: IdentifierKind, identifier: str) -> Account:
        domain.check_identifier(identifier)
        step = partial(store.find, kind=kind, identifier=identifier)
        account = (await self.accounts.database.read(step)).account
        if account is None:
            raise _not_found()
        return account


def _audit(act: str, account: AccountId) -> None:
    _log.info("operator acts", act=act, by="admin", account=account)


def _not_found() -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "there is no such account", "account")
