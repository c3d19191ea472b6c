"""The requests to the auth service: registration, login, tokens, verification, deletion."""

from enum import StrEnum
from typing import Literal

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, NodeId
from shared.contract.model import Confidential, Secret
from shared.contract.routes import Ack, Routed


class Origin(msgspec.Struct, frozen=True):
    """The origin of a request: the edge node, the connection, the client's address (for rate limits and the list of
    logins) and the dialect."""

    node: NodeId = NodeId("")
    connection: int = 0
    address: str = ""
    client: str = ""


class Authenticated(Confidential, msgspec.Struct, tag="authenticated", frozen=True, kw_only=True):
    """A successful registration or login. `token` is a JWT of the login `sid`. The session service makes the profile
    from the other fields if it is missing."""

    account: AccountId
    sid: str
    token: str
    expires: int
    """Unix seconds."""
    uuid: str
    nickname: str
    icon_id: int = 0
    signature: str = ""
    vip: int = 0
    created: int = 0
    """Unix milliseconds."""
    lobby: bool = False
    revision: int = 0
    """The highest revocation number at the time of this login. The token of the login has it, too. Only revocations
    with higher numbers end the login."""
    refresh: str = ""
    """The refresh token, if one was requested."""
    refresh_expires: int = 0
    """Unix seconds."""
    nick: str = ""
    guest: str = ""
    """For `nick` and `guest`, see EnsureProfile."""


class VerificationNeeded(msgspec.Struct, tag="verification", frozen=True):
    """The request waits until the mailed link of this ticket is opened (commands 13, 14 and 15 of v2)."""

    ticket: str
    expires: int
    """Unix milliseconds."""


LoginReply = Authenticated | VerificationNeeded


class Register(Confidential, msgspec.Struct, kw_only=True):
    """Creates an account. Fails with `conflict` and the taken `field`. An account without username and e-mail address
    has only its OC number (as with `nick` in v0)."""

    route = Routed[LoginReply]("auth.register", LoginReply)  # type: ignore[arg-type]

    secret: Secret
    nickname: str
    email: str = ""
    username: str = ""
    uuid: str = ""
    question_id: int = 0
    answer: str = ""
    icon_id: int = 0
    signature: str = ""
    vip: int = 0
    lobby: bool = False
    """Accounts registered through v0 belong to the public lobby."""
    origin: Origin = Origin()
    ticket: str = ""
    """The ticket of the completed verification, if the request is repeated after it."""
    refreshable: bool = False
    """The login gets a refresh token."""
    device: str = ""
    """The name that the user gives the device. The list of logins shows it. The field has the same meaning in other
    requests."""
    guest: AccountId = NO_ACCOUNT
    """The guest of the connection, whose account becomes this account. Error: `forbidden` if it is no guest any
    more."""


class IdentifierKind(StrEnum):
    EMAIL = "email"
    ID = "id"
    USERNAME = "username"
    UUID = "uuid"
    ANY = "any"
    """The identifier may be a username, an e-mail address or an OC number, tried in this order."""


class Login(msgspec.Struct, kw_only=True):
    """Logs in by secret. An unknown account and a wrong secret get the same error (`unauthenticated`), after the same
    time."""

    route = Routed[LoginReply]("auth.login", LoginReply, reads=True)  # type: ignore[arg-type]

    kind: IdentifierKind
    identifier: str
    secret: Secret
    origin: Origin = Origin()
    ticket: str = ""
    refreshable: bool = False
    """The login gets a refresh token."""
    device: str = ""
    base_url: str = ""
    """The beginning `http://host:port` of the link that this login may mail to verify the account's address."""


class Refreshed(Confidential, msgspec.Struct, frozen=True):
    """A new token of the login `sid`, and a new refresh token. The times of both tokens are Unix seconds."""

    account: AccountId
    sid: str
    token: str
    expires: int
    refresh: str
    refresh_expires: int


class Refresh(Confidential, msgspec.Struct):
    """Replaces a refresh token, which is then spent. Error: `unauthenticated` for a token that is unknown, expired or
    spent.

    A refresh token that is younger than `auth.refresh_grace_seconds` is not replaced. During this time, the previous
    refresh token gets the same new token again. After this time, it still does so while neither the new refresh token
    nor the token issued with it has been used. Any other use of a spent token ends its login.
    """

    route = Routed("auth.refresh", Refreshed)
    refresh: str
    origin: Origin = Origin()


class SendVerification(msgspec.Struct):
    """Mails the one-time link of a ticket (v2: 14). A repeated request mails the link again, up to a limit."""

    route = Routed("auth.send_verification", Ack)
    ticket: str
    origin: Origin = Origin()
    base_url: str = ""
    """The beginning `http://host:port` of the link."""


class Requester(msgspec.Struct, frozen=True):
    """The origin of the registration or login that waits for a link: the address and the dialect of the request, and
    its time (Unix milliseconds)."""

    purpose: Literal["register", "login"]
    address: str = ""
    client: str = ""
    time: int = 0


class DescribeVerification(Confidential, msgspec.Struct):
    """A request for the origin of the pending registration or login, for the page with the confirming button. This
    request confirms nothing. Error: `not_found` for a link that is wrong or has expired."""

    route = Routed("auth.describe_verification", Requester)
    ticket: str
    code: str


class Opened(msgspec.Struct, frozen=True):
    outcome: Literal["passed", "wrong", "expired"]


class OpenVerification(Confidential, msgspec.Struct):
    """A user has opened the link `/verify/<ticket>.<code>`. After a wrong code, the right code is still valid."""

    route = Routed("auth.open_verification", Opened)
    ticket: str
    code: str


class DeleteAccount(Confidential, msgspec.Struct):
    """Erases an account in all services (v2: 16). The reply follows within 2 s, after the commit of the auth service
    and the replies of all reachable services. The other services get a durable event. `secret`: given by dialects that
    require a secret. A wrong secret is `unauthenticated`, and counts as a failed login. `reason`: shown to the members
    of the account's groups. `of_guest`: delete the account only if it is a guest's."""

    route = Routed("auth.delete_account", Ack)
    actor: AccountId = NO_ACCOUNT
    secret: Secret | None = None
    origin: Origin = Origin()
    reason: str = ""
    of_guest: bool = False


class DeletedAccounts(msgspec.Struct, frozen=True):
    """A page of deleted accounts. The page after the last account is empty."""

    accounts: list[AccountId]


class ListDeletedAccounts(msgspec.Struct):
    """A request for the next deleted accounts with ids above `after`, in order. Other services use it to find data of
    deleted accounts that they still have."""

    route = Routed("auth.deleted_accounts", DeletedAccounts)
    after: AccountId = NO_ACCOUNT


class InactiveAccounts(msgspec.Struct, frozen=True):
    """The requested accounts that may not act now: disabled, deleted and unknown accounts, and bots of such owners."""

    accounts: list[AccountId]


class FindInactive(msgspec.Struct):
    """A request for the inactive accounts among these accounts, at most 1,000. A webhook, link or bot acts only while
    its maker may act."""

    route = Routed("auth.inactive", InactiveAccounts)
    accounts: list[AccountId]


class LoginView(msgspec.Struct, frozen=True):
    """A login of an account. `created`: Unix milliseconds. `expires`: Unix seconds, of the refresh token if the login
    has one, otherwise of its token. `address` and `client` (the dialect) are those of the login itself. Later
    connections with its token may have others. `device`: the name given at the login."""

    sid: str
    created: int
    expires: int
    address: str = ""
    client: str = ""
    device: str = ""


class Logins(msgspec.Struct, frozen=True):
    """The logins, newest first, at most 200."""

    logins: list[LoginView]


class ListLogins(msgspec.Struct):
    """A request for the logins of an account with valid tokens."""

    route = Routed("auth.list_logins", Logins, reads=True)
    actor: AccountId = NO_ACCOUNT


class EndLogin(msgspec.Struct):
    """Revokes the token of one listed login and closes its connections. Error: `not_found` for any other login."""

    route = Routed("auth.end_login", Ack)
    sid: str
    actor: AccountId = NO_ACCOUNT


class ChangePassword(Confidential, msgspec.Struct, kw_only=True):
    """Replaces all secrets of an account by a new secret. All logins of the account end. The reply, Authenticated, is a
    new login that replaces the caller's (`caller_sid`): the new login has the same device, and its `revision` is the
    number of the revocation. Error: `unauthenticated` for a wrong old secret, which counts as a failed login."""

    route = Routed("auth.change_password", Authenticated)
    old: Secret
    new: Secret
    actor: AccountId = NO_ACCOUNT
    origin: Origin = Origin()
    refreshable: bool = False
    """The new login gets a refresh token."""
    caller_sid: str = ""


class Logout(msgspec.Struct):
    """Ends one login and revokes its tokens."""

    route = Routed("auth.logout", Ack)
    sid: str
    actor: AccountId = NO_ACCOUNT


class TokenLogin(msgspec.Struct, frozen=True):
    """An account has logged in by a token that it already had. `network`: the client's IPv4 address, or IPv6 /64.
    `sid`, `issued` (Unix seconds): fields of the token."""

    account: AccountId
    network: str
    client: str = ""
    sid: str = ""
    issued: int = 0


MAX_TOKEN_LOGINS = 500
"""The most token logins in one request."""


class RecordTokenLogins(msgspec.Struct):
    """A report of logins by token for the audit trail, because edges themselves verify tokens. The report also serves
    refresh tokens: when the token that was issued with a new refresh token is used, the previous refresh token is
    finally spent. A report has at most MAX_TOKEN_LOGINS. A repetition within a day adds nothing."""

    route = Routed("auth.token_logins", Ack)
    logins: list[TokenLogin]


class Revocation(msgspec.Struct, array_like=True, frozen=True):
    """Voids the tokens of the login `sid`. If `sid` is empty, it voids every token of the account with a revision below
    `number`. `time`: Unix seconds."""

    number: int
    account: AccountId
    sid: str
    time: int


class Entrance(msgspec.Struct, frozen=True):
    """The ways in which users register, and recover a password. `verified`: a registration waits for a mailed link.
    `by_question`, `by_mail`: the ways to recover a password. `secret_min`: the fewest characters of a new plain
    password."""

    verified: bool
    by_question: bool
    by_mail: bool
    secret_min: int


class Revocations(msgspec.Struct, frozen=True):
    """`last`: the highest number. While `more` is set, request the next page after the last revocation received.
    `keys`: the names of the keys that verify tokens; empty if unknown. `now`: the replica's time in Unix milliseconds;
    0 when unknown. `entrance`: see Entrance. Each replica also publishes this struct every second, with an empty
    list."""

    last: int
    revocations: list[Revocation]
    maintenance: bool
    more: bool = False
    keys: list[str] = []
    now: int = 0
    entrance: Entrance | None = None


class ListRevocations(msgspec.Struct):
    """A request for the revocations after number `since`, the maintenance flag, and the keys that verify tokens."""

    route = Routed("auth.watch", Revocations)
    since: int = 0


class PublicKey(msgspec.Struct, frozen=True):
    kid: str
    pem: str


class Keys(msgspec.Struct, frozen=True):
    issuer: str
    audience: str
    keys: list[PublicKey]


class GetKeys(msgspec.Struct):
    """A request for the public keys that verify tokens."""

    route = Routed("auth.keys", Keys)
