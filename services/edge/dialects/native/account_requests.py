"""native, client to server: the command of each operation about the account and its logins. All raise DecodeError."""

from services.edge.dialects import credentials, validation
from services.edge.dialects.native import parameters as given
from services.edge.dialects.native.requests import Caller
from shared.contract.auth import (
    ChangePassword,
    DeleteAccount,
    EndLogin,
    IdentifierKind,
    Login,
    Recover,
    Register,
    SetSecurity,
)
from shared.contract.model import Scheme, Secret


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


def recover(wire: given.RecoverParameters, caller: Caller) -> Recover:
    return Recover(
        username=wire.identifier, question_id=wire.question_id, answer=wire.answer, secret=_secret(wire.secret)
    )


def change_password(wire: given.PasswordParameters, caller: Caller) -> ChangePassword:
    old, new = _secret(wire.old, "old"), _secret(wire.new, "new")
    return ChangePassword(old=old, new=new, refreshable=wire.refreshable)


def delete_account(wire: given.DeleteAccountParameters, caller: Caller) -> DeleteAccount:
    return DeleteAccount(secret=_secret(wire.secret))


def set_security(wire: given.SecurityParameters, caller: Caller) -> SetSecurity:
    return SetSecurity(wire.question_id, wire.answer)


def end_session(wire: given.EndSessionParameters, caller: Caller) -> EndLogin:
    return EndLogin(wire.sid)
