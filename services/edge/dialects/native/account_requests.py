"""native, client to server: the command of each operation about the account and its logins. All raise DecodeError."""

from msgspec import UNSET

from services.edge.dialects import credentials, validation
from services.edge.dialects.base import DecodeError
from services.edge.dialects.native import parameters as given
from services.edge.dialects.native.requests import Caller
from shared.contract.auth import ChangePassword, DeleteAccount, EndLogin, IdentifierKind, Login, Register
from shared.contract.model import Scheme, Secret
from shared.contract.recovery import Recover, RecoverByTicket, RequestRecovery, SetSecurity


def _secret(wire: given.SecretParameter, field: str = "secret") -> Secret:
    return credentials.secret(Scheme(wire.scheme), wire.value, field)


def register(wire: given.RegisterParameters, caller: Caller) -> Register:
    return Register(
        secret=_secret(wire.secret),
        nickname=validation.nickname(wire.nickname, caller.limits),
        email=wire.email and credentials.email(wire.email),
        username=wire.username,
        question_id=wire.question_id,
        answer=wire.answer,
        refreshable=wire.refreshable,
        device=wire.device,
    )


def login(wire: given.LoginParameters, caller: Caller) -> Login:
    return Login(
        kind=IdentifierKind(wire.kind),
        identifier=wire.identifier,
        secret=_secret(wire.secret),
        refreshable=wire.refreshable,
        device=wire.device,
    )


def recover(wire: given.RecoverParameters, caller: Caller) -> Recover | RequestRecovery | RecoverByTicket:
    if wire.ticket:
        return _recover_by_ticket(wire)
    if not wire.identifier:
        raise _missing("identifier")
    if wire.question_id is UNSET and wire.answer is UNSET and wire.secret is UNSET:
        return RequestRecovery(wire.identifier)
    if wire.question_id is UNSET:
        raise _missing("question_id")
    if wire.answer is UNSET:
        raise _missing("answer")
    if wire.secret is UNSET:
        raise _missing("secret")
    return Recover(
        username=wire.identifier, question_id=wire.question_id, answer=wire.answer, secret=_secret(wire.secret)
    )


def _recover_by_ticket(wire: given.RecoverParameters) -> RecoverByTicket:
    if wire.identifier or wire.question_id is not UNSET or wire.answer is not UNSET:
        raise DecodeError("a ticket needs the new secret alone", field="ticket")
    if wire.secret is UNSET:
        raise _missing("secret")
    return RecoverByTicket(wire.ticket, _secret(wire.secret))


def _missing(name: str) -> DecodeError:
    return DecodeError(f"Object missing required field `{name}`", field=name)


def change_password(wire: given.PasswordParameters, caller: Caller) -> ChangePassword:
    old, new = _secret(wire.old, "old"), _secret(wire.new, "new")
    return ChangePassword(old=old, new=new, refreshable=wire.refreshable)


def delete_account(wire: given.DeleteAccountParameters, caller: Caller) -> DeleteAccount:
    return DeleteAccount(secret=_secret(wire.secret))


def set_security(wire: given.SecurityParameters, caller: Caller) -> SetSecurity:
    return SetSecurity(wire.question_id, wire.answer)


def end_session(wire: given.EndSessionParameters, caller: Caller) -> EndLogin:
    return EndLogin(wire.sid)
