"""The dialect native: the operations of the account and its logins."""

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from services.edge.canonical.commands import RenewToken, RequestVerification
from services.edge.canonical.replies import AccountRecovered, MadeCounts, PasswordChanged, TokenRenewed
from services.edge.dialects import credentials, validation
from services.edge.dialects.base import DecodeError
from services.edge.dialects.native.operation import ANY, ENTRANCE, READ, USERS, WRITE, Caller, Operation
from services.edge.dialects.native.shapes import (
    Answer,
    DeviceName,
    Email,
    Nickname,
    NoParameters,
    Nothing,
    OvertakingParameters,
    Parameters,
    Small,
    Username,
)
from shared.contract.auth import (
    Authenticated,
    ChangePassword,
    DeleteAccount,
    EndLogin,
    IdentifierKind,
    ListLogins,
    Login,
    LoginReply,
    Logins,
    LoginView,
    Logout,
    Refresh,
    Refreshed,
    Register,
    VerificationNeeded,
)
from shared.contract.errors import Reason
from shared.contract.model import Scheme, Secret
from shared.contract.recovery import Recover, RecoverByTicket, RequestRecovery, SetSecurity
from shared.contract.routes import Ack

L = TypeVar("L", bound="LoginResult")


# Secrets


class SecretParameter(msgspec.Struct):
    """Has the `secret` of an account, which is the password or its hash in hex. The scheme must be the one that was
    used at the registration or for the last new password."""

    scheme: Annotated[Literal["plain", "md5", "sha256"], msgspec.Meta(examples=["plain"])]
    value: Annotated[str, msgspec.Meta(examples=["correct horse battery staple"])]


def _secret(wire: SecretParameter, field: str = "secret") -> Secret:
    return credentials.secret(Scheme(wire.scheme), wire.value, field)


def unix_ms_of(seconds: int) -> int:
    """Convert the expiry of a token to Unix milliseconds."""
    return seconds * 1000


# Logins


class RegisterParameters(OvertakingParameters, kw_only=True):
    """`refreshable`: whether the reply must have a refresh token. `device`: the name of the device in the list of
    `sessions`. `overtaking`: from now on, replies to commands that only read may come after the replies to later
    commands. These members mean the same in the other operations."""

    secret: SecretParameter
    nickname: Nickname
    email: Email = ""
    username: Username = ""
    question_id: Small = 0
    answer: Answer = ""
    refreshable: bool = False
    device: DeviceName = ""


class LoginParameters(OvertakingParameters, kw_only=True):
    """`identifier`: an e-mail address, an account's number or a username. If `kind` is `any`, the server tries the
    identifier as a username first."""

    identifier: Email
    secret: SecretParameter
    kind: Literal["any", "email", "id", "username"] = "any"
    refreshable: bool = False
    device: DeviceName = ""


class VerificationInfo(msgspec.Struct):
    """`expires`: when the verification expires, in Unix milliseconds."""

    expires: int


class LoginResult(msgspec.Struct):
    """The result of a login. `expires` and `refresh_expires` are Unix milliseconds on the server's clock, and `time` is
    its present time. If `verify` is present, all other members are missing, because the login waits until a mailed link
    is opened."""

    account: int | UnsetType = UNSET
    sid: str | UnsetType = UNSET
    token: str | UnsetType = UNSET
    expires: int | UnsetType = UNSET
    uuid: str | UnsetType = UNSET
    nickname: str | UnsetType = UNSET
    verify: VerificationInfo | UnsetType = UNSET
    refresh: str | UnsetType = UNSET
    refresh_expires: int | UnsetType = UNSET
    time: int | UnsetType = UNSET


def _register(wire: RegisterParameters, caller: Caller) -> Register:
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


def _login(wire: LoginParameters, _: Caller) -> Login:
    return Login(
        kind=IdentifierKind(wire.kind),
        identifier=wire.identifier,
        secret=_secret(wire.secret),
        refreshable=wire.refreshable,
        device=wire.device,
    )


def _logged_in(reply: LoginReply, caller: Caller) -> LoginResult:
    if isinstance(reply, VerificationNeeded):
        return LoginResult(verify=VerificationInfo(reply.expires))
    return _entered(LoginResult(), reply, caller)


def _entered(shown: L, reply: Authenticated, caller: Caller) -> L:
    """Fill in the result of a login, which the connection has from now on."""
    caller.sid = reply.sid
    shown.account, shown.sid, shown.token = reply.account, reply.sid, reply.token
    shown.expires, shown.time = unix_ms_of(reply.expires), caller.unix_ms()
    shown.uuid, shown.nickname = reply.uuid, reply.nickname
    if reply.refresh:
        shown.refresh, shown.refresh_expires = reply.refresh, unix_ms_of(reply.refresh_expires)
    return shown


class TokenParameters(OvertakingParameters, kw_only=True):
    token: Annotated[str, msgspec.Meta(examples=["h.p.s"])]


class TokenResult(msgspec.Struct):
    account: int
    sid: str
    expires: int
    time: int


def _renewed(reply: TokenRenewed, caller: Caller) -> TokenResult:
    caller.sid = reply.sid
    return TokenResult(reply.account, reply.sid, unix_ms_of(reply.expires), caller.unix_ms())


class RefreshParameters(Parameters, kw_only=True):
    """`refresh`: the refresh token that the login, or the last `refresh`, returned."""

    refresh: Annotated[str, msgspec.Meta(min_length=1, max_length=128, examples=["6f9619ff8b86.q1w2"])]


class RefreshResult(msgspec.Struct):
    """A new token for the operation `token`, and the refresh token that is valid from now on. `expires` and
    `refresh_expires` are Unix milliseconds on the server's clock, and `time` is its present time."""

    account: int
    sid: str
    token: str
    expires: int
    refresh: str
    refresh_expires: int
    time: int


def _refreshed(reply: Refreshed, caller: Caller) -> RefreshResult:
    tokens = reply.token, unix_ms_of(reply.expires), reply.refresh, unix_ms_of(reply.refresh_expires)
    return RefreshResult(reply.account, reply.sid, *tokens, caller.unix_ms())


class SessionInfo(msgspec.Struct):
    """A login. `created`, `expires`: Unix milliseconds. `here`: whether this connection has the login. `device`: the
    name that the client gave the device at its login, or empty."""

    sid: str
    created: int
    expires: int
    address: str
    dialect: str
    here: bool
    device: str


class SessionsResult(msgspec.Struct):
    """The logins of the account, newest first."""

    sessions: list[SessionInfo]


def sessions(logins: list[LoginView], caller: Caller) -> list[SessionInfo]:
    return [
        SessionInfo(
            one.sid, one.created, unix_ms_of(one.expires), one.address, one.client, one.sid == caller.sid, one.device
        )
        for one in logins
    ]


def _sessions(reply: Logins, caller: Caller) -> SessionsResult:
    return SessionsResult(sessions(reply.logins, caller))


class EndSessionParameters(Parameters, kw_only=True):
    sid: Annotated[str, msgspec.Meta(examples=["s1"])]


# New secrets


class RecoverParameters(Parameters, kw_only=True):
    """The parameters have one of three forms. With `identifier` alone, the server mails a ticket to the account, if the
    account's address may get one. With `ticket` and `secret`, the server sets the new password. It also does so with
    `identifier`, `question_id`, `answer` and `secret`."""

    identifier: Email = ""
    question_id: Small | UnsetType = UNSET
    answer: Answer | UnsetType = UNSET
    ticket: Annotated[str, msgspec.Meta(examples=["6f9619ff8b864d01b42d00c04fc964ff"])] = ""
    secret: SecretParameter | UnsetType = UNSET


class PasswordParameters(Parameters, kw_only=True):
    old: SecretParameter
    new: SecretParameter
    refreshable: bool = False


class DeleteAccountParameters(Parameters, kw_only=True):
    secret: SecretParameter


class SecurityParameters(Parameters, kw_only=True):
    question_id: Small
    answer: Answer


class MadeCount(msgspec.Struct):
    """The number of webhooks, links and bots of the account that still work. `made` lists them, and `end_made` ends
    all."""

    hooks: int
    outgoing_hooks: int
    links: int
    bot_tokens: int


class PasswordResult(LoginResult):
    """`made` is left out if the account has made nothing, or if the number is unknown."""

    made: MadeCount | UnsetType = UNSET


class RecoverResult(msgspec.Struct):
    """`made` is left out if the account has made nothing, or if the number is unknown."""

    made: MadeCount | UnsetType = UNSET


def _recover(wire: RecoverParameters, _: Caller) -> Recover | RequestRecovery | RecoverByTicket:
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


def _recover_by_ticket(wire: RecoverParameters) -> RecoverByTicket:
    if wire.identifier or wire.question_id is not UNSET or wire.answer is not UNSET:
        raise DecodeError("with a ticket, give only the new secret", field="ticket")
    if wire.secret is UNSET:
        raise _missing("secret")
    return RecoverByTicket(wire.ticket, _secret(wire.secret))


def _missing(name: str) -> DecodeError:
    return DecodeError(f"`{name}` is missing", field=name, reason=Reason.MISSING)


def _recovered(reply: Ack, _: Caller) -> RecoverResult:
    return RecoverResult(_count(reply.made)) if isinstance(reply, AccountRecovered) else RecoverResult()


def _change_password(wire: PasswordParameters, _: Caller) -> ChangePassword:
    return ChangePassword(old=_secret(wire.old, "old"), new=_secret(wire.new, "new"), refreshable=wire.refreshable)


def _password_changed(reply: PasswordChanged, caller: Caller) -> PasswordResult:
    return _entered(PasswordResult(made=_count(reply.made)), reply.login, caller)


def _count(made: MadeCounts | None) -> MadeCount | UnsetType:
    if made is None or not (made.hooks or made.outgoing_hooks or made.links or made.bot_tokens):
        return UNSET
    return MadeCount(made.hooks, made.outgoing_hooks, made.links, made.bot_tokens)


ACCOUNT_OPERATIONS = (
    Operation(
        "register", "create an account and log in",
        ENTRANCE, USERS, RegisterParameters, LoginResult, _register, _logged_in, needs_login=False,
    ),
    Operation(
        "login", "log in by a password",
        ENTRANCE, USERS, LoginParameters, LoginResult, _login, _logged_in, needs_login=False,
    ),
    Operation(
        "token", "log in by a token, or replace the login's token",
        ENTRANCE, ANY, TokenParameters, TokenResult, lambda *_: RenewToken(), _renewed, needs_login=False,
    ),
    Operation(
        "refresh", "get a new token and a new refresh token for a refresh token",
        ENTRANCE, USERS, RefreshParameters, RefreshResult,
        lambda wire, _: Refresh(wire.refresh), _refreshed, needs_login=False,
    ),
    Operation(
        "verify_mail", "mail the link that the pending login of this connection waits for, up to three times",
        ENTRANCE, USERS, NoParameters, Nothing, lambda *_: RequestVerification(), needs_login=False,
    ),
    Operation(
        "recover", "a new password by the answer to the security question, or by a ticket; request that ticket by mail",
        ENTRANCE, USERS, RecoverParameters, RecoverResult, _recover, _recovered, needs_login=False,
    ),
    Operation(
        "password", "change the password; all other logins end",
        ENTRANCE, USERS, PasswordParameters, PasswordResult, _change_password, _password_changed,
    ),
    Operation(
        "set_security", "the security question, after a login by a secret; an empty answer removes it",
        WRITE, USERS, SecurityParameters, Nothing, lambda wire, _: SetSecurity(wire.question_id, wire.answer),
    ),
    Operation(
        "sessions", "list the logins of the account",
        READ, USERS, NoParameters, SessionsResult, lambda *_: ListLogins(), _sessions,
    ),
    Operation(
        "end_session", "end a login of the account",
        WRITE, USERS, EndSessionParameters, Nothing, lambda wire, _: EndLogin(wire.sid),
    ),
    Operation(
        "logout", "end this login; the connection closes", WRITE, USERS, NoParameters, Nothing, lambda *_: Logout("")
    ),
    Operation(
        "delete_account", "delete the account and its profile, by its password",
        ENTRANCE, USERS, DeleteAccountParameters, Nothing, lambda wire, _: DeleteAccount(secret=_secret(wire.secret)),
    ),
)  # fmt: skip
