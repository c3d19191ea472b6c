"""An operator's acts on accounts. Each act is logged, and recorded in the audit trail with its account, but never with
a secret."""

import time
from dataclasses import dataclass

from services.auth import domain, verifiers
from services.auth.domain import Account
from services.auth.service.deletion import AccountDeletion
from services.auth.service.login_limits import LoginLimiter
from services.auth.service.ports import EdgeNotifications, PasswordHashing
from services.auth.service.revocations import TokenRevocations
from services.auth.service.sessions import LoginSessions
from services.auth.store import accounts, bots, naming, revocations, trail
from services.auth.store.requests import once
from shared.contract.admin import (
    Act,
    Duplicates,
    FindUser,
    Kick,
    ListDuplicates,
    RecordAct,
    RecordOperatorAct,
    ResetPassword,
    SearchTrail,
    SetDisabled,
    SetMaintenance,
    Trail,
    UserView,
)
from shared.contract.auth import DeleteAccount, EndLogin, IdentifierKind, ListLogins, Logins
from shared.contract.edge import Kicked, MaintenanceSet
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, AccountId
from shared.contract.model import Scheme, Secret
from shared.contract.routes import Ack
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)
_DETAIL_CHARACTERS = 1_000


@dataclass(frozen=True, kw_only=True)
class Administration:
    """Raises RequestError: `not_found`, `invalid`, `unavailable`."""

    database: Transactions
    passwords: PasswordHashing
    limits: LoginLimiter
    notifier: EdgeNotifications
    revocations: TokenRevocations
    deletion: AccountDeletion
    sessions: LoginSessions

    async def find(self, request: FindUser) -> UserView:
        account = await self._find(request.kind, request.identifier)
        await self._record("find", account.id)
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
            email_verified=account.email_verified,
        )

    async def list_duplicates(self, _: ListDuplicates) -> Duplicates:
        return await self.database.read(naming.list_duplicates)

    async def set_disabled(self, request: SetDisabled) -> Ack:
        domain.check_actor(request.account)
        if request.disabled:
            act = Act("disable", request.account)
            done = bool(await self.revocations.carry_out(accounts.disable, act, request.account, int(time.time())))
        else:
            act = Act("enable", request.account)
            done = await self.database.write(once(trail.recorded(accounts.enable, act), bool), request.account)
        if not done:
            raise _not_found()
        _log_act(act.act, request.account)
        return Ack()

    async def reset_password(self, request: ResetPassword) -> Ack:
        """Sets a new password, removes the security question, and forgets the failed logins. So failed logins neither
        delay the next login nor require a verification."""
        domain.check_secret(Secret(Scheme.PLAIN, request.password))
        account = await self._find(IdentifierKind.ID, str(request.account))
        if await self.database.read(bots.is_bot, account.id):
            raise RequestError(ErrorCode.INVALID, "a bot has tokens and no password", "account")
        texts = verifiers.reset_verifier_texts(request.password, account.verifiers)
        hashes = await self.passwords.hash(list(texts.values()))
        new, act = dict(zip(texts, hashes, strict=True)), Act("reset password", account.id)
        if not await self.revocations.carry_out(accounts.reset_secrets, act, account.id, new, int(time.time())):
            raise _not_found()
        await self.limits.reset(account)
        _log_act("reset password", account.id)
        return Ack()

    async def kick(self, request: Kick) -> Ack:
        account = await self._find(IdentifierKind.ID, str(request.account))
        await self.notifier.notify_all(Kicked(account.id))
        await self._record("kick", account.id)
        return Ack()

    async def list_logins(self, request: ListLogins) -> Logins:
        found = await self.sessions.list(request)
        await self._record("list logins", request.actor)
        return found

    async def end_login(self, request: EndLogin) -> Ack:
        done = await self.sessions.end(request, "admin")
        _log_act("end login", request.actor)
        return done

    async def delete(self, request: DeleteAccount) -> Ack:
        done = await self.deletion.delete(request, "admin")
        _log_act("delete", request.actor)
        return done

    async def set_maintenance(self, request: SetMaintenance) -> Ack:
        await self.database.write(revocations.set_maintenance, request.on)
        await self._record("maintenance", detail="on" if request.on else "off", logged=False)
        await self.notifier.notify_all(MaintenanceSet(request.on))
        _log.info("operator acts", act="maintenance", by="admin", on=request.on)
        return Ack()

    async def search_trail(self, request: SearchTrail) -> Trail:
        domain.check_number(request.account, "account")
        return await self.database.read(trail.search, request)

    async def record_act(self, request: RecordAct) -> Ack:
        """Record an act of the operator that another service has carried out."""
        await self._record(request.act, request.account, request.detail)
        return Ack()

    async def record_operator_act(self, request: RecordOperatorAct) -> Ack:
        """Record an act of an operator of IRC. The detail of the entry is the operator's account, if the act is on
        another account."""
        domain.check_actor(request.actor)
        domain.check_number(request.account, "account")
        domain.check_origin(request.origin)
        by = f"by {request.actor}" if request.actor != request.account else ""
        act = Act(request.act.value, request.account, "operator", request.origin.address, by)
        await self.database.write(once(trail.add, type(None)), act)
        return Ack()

    async def _record(
        self, act: str, account: AccountId = NO_ACCOUNT, detail: str = "", *, logged: bool = True
    ) -> None:
        domain.check_opaque(act, "act")
        await self.database.write(
            once(trail.add, type(None), part="record"), Act(act, account, detail=detail[:_DETAIL_CHARACTERS])
        )
        if logged:
            _log_act(act, account)

    async def _find(self, kind: IdentifierKind, identifier: str) -> Account:
        domain.check_identifier(identifier)
        account = (await self.database.read(accounts.find, kind, identifier)).account
        if account is None:
            raise _not_found()
        return account


def _log_act(act: str, account: AccountId) -> None:
    _log.info("operator acts", act=act, by="admin", account=account)


def _not_found() -> RequestError:
    return RequestError(ErrorCode.NOT_FOUND, "there is no such account", "account")
