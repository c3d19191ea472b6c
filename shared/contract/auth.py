"""Requests to auth: registration, login, tokens, verification, deletion."""

from enum import StrEnum
from typing import Literal

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, NodeId
from shared.contract.model import Secret
from shared.contract.routes import Ack, Routed


class Origin(msgspec.Struct, frozen=True):
    """The origin of a request: the edge node, its connection, the client's address (for rate limits and the list of
    logins) and its dialect."""

    node: NodeId = NodeId("")
    connection: int = 0
    address: str = ""
    client: str = ""


class Authenticated(msgspec.Struct, tag="authenticated", frozen=True, kw_only=True):
    """A successful registration or login. `token` is a JWT of login session `sid`; session creates a missing profile
    from the other fields."""

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
    """The highest revocation number at this login, also in its token: only later revocations end it."""
    refresh: str = ""
    """The refresh token, if the request asked for one."""
    refresh_expires: int = 0
    """Unix seconds."""

    def __repr__(self) -> str:
        return f"Authenticated(account={self.account}, sid={self.sid!r}, ***)"


class VerificationNeeded(msgspec.Struct, tag="verification", frozen=True):
    """The request is pending until the mailed link of this ticket is opened (v2: 13, 14, 15)."""

    ticket: str
    expires: int
    """Unix milliseconds."""


LoginReply = Authenticated | VerificationNeeded


class Register(msgspec.Struct, kw_only=True):
    """Creates an account. Fails with `conflict` and the taken `field`. An account without identifiers has only its OC
    number (v0's `nick`)."""

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
    """The completed verification, when the request is repeated after it."""
    refreshable: bool = False
    """The login gets a refresh token."""
    device: str = ""
    """The user's name for the device, for the list of logins; here and below."""

    def __repr__(self) -> str:
        return f"Register(email={self.email!r}, username={self.username!r}, uuid={self.uuid!r}, ***)"


class IdentifierKind(StrEnum):
    EMAIL = "email"
    ID = "id"
    USERNAME = "username"
    UUID = "uuid"
    ANY = "any"
    """Username, else e-mail, else OC number."""


class Login(msgspec.Struct, kw_only=True):
    """Login by secret. An unknown account and a wrong secret fail alike (`unauthenticated`), in the same time."""

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
    """`http://host:port` at the start of a link, if the login mails one that verifies the account's address."""


class Refreshed(msgspec.Struct, frozen=True):
    """A new token of login session `sid`, and a new refresh token. Both times are Unix seconds."""

    account: AccountId
    sid: str
    token: str
    expires: int
    refresh: str
    refresh_expires: int

    def __repr__(self) -> str:
        return f"Refreshed(account={self.account}, sid={self.sid!r}, ***)"


class Refresh(msgspec.Struct):
    """Replaces a refresh token, which is spent then. Fails with `unauthenticated` for one that is unknown, expired or
    spent; a spent one also ends its login, unless it comes back within `auth.refresh_grace_seconds` and before its
    successor is used: then the reply has the same successor again."""

    route = Routed("auth.refresh", Refreshed)

    refresh: str
    origin: Origin = Origin()

    def __repr__(self) -> str:
        return "Refresh(***)"


class SendVerification(msgspec.Struct):
    """Mails the one-time link of a ticket (v2: 14). A repeated request mails it again, a few times."""

    route = Routed("auth.send_verification", Ack)

    ticket: str
    origin: Origin = Origin()
    base_url: str = ""
    """`http://host:port` at the start of the link."""


class Requester(msgspec.Struct, frozen=True):
    """Whose registration or login waits for a link: the address and the dialect of the request, and its time (Unix
    milliseconds). Without address and time: auth of the version before took the request."""

    purpose: Literal["register", "login"]
    address: str = ""
    client: str = ""
    time: int = 0


class DescribeVerification(msgspec.Struct):
    """Asks who has requested what the link would confirm, for the page of its button. Confirms nothing. Fails with
    `not_found` for a link that is wrong or has expired."""

    route = Routed("auth.describe_verification", Requester)

    ticket: str
    code: str

    def __repr__(self) -> str:
        return f"DescribeVerification({self.ticket!r}, ***)"


class Opened(msgspec.Struct, frozen=True):
    outcome: Literal["passed", "wrong", "expired"]


class OpenVerification(msgspec.Struct):
    """The link was opened: `/verify/<ticket>.<code>`. A wrong code leaves the right one valid."""

    route = Routed("auth.open_verification", Opened)

    ticket: str
    code: str

    def __repr__(self) -> str:
        return f"OpenVerification({self.ticket!r}, ***)"


class DeleteAccount(msgspec.Struct):
    """Erases an account in all services (v2: 16). The reply follows auth's commit and the confirmation of every
    reachable service, within 2 s; a durable event reaches the others. `secret`: of dialects that require it; a wrong
    one is `unauthenticated`, and counts as a failed login."""

    route = Routed("auth.delete_account", Ack)

    actor: AccountId = NO_ACCOUNT
    secret: Secret | None = None
    origin: Origin = Origin()

    def __repr__(self) -> str:
        return f"DeleteAccount(actor={self.actor}, ***)"


class DeletedAccounts(msgspec.Struct, frozen=True):
    """A page; an empty one is the end."""

    accounts: list[AccountId]


class ListDeletedAccounts(msgspec.Struct):
    """The next deleted accounts with an id above `after`, in order. Other services compare their data with it."""

    route = Routed("auth.deleted_accounts", DeletedAccounts)

    after: AccountId = NO_ACCOUNT


class InactiveAccounts(msgspec.Struct, frozen=True):
    """Those of the accounts that may do nothing now: disabled, deleted and unknown ones, and bots of such owners."""

    accounts: list[AccountId]


class FindInactive(msgspec.Struct):
    """At most 1,000 accounts. What an account has made acts only while the account itself may."""

    route = Routed("auth.inactive", InactiveAccounts)

    accounts: list[AccountId]


class LoginView(msgspec.Struct, frozen=True):
    """A login of an account. `created`: Unix milliseconds; `expires`: Unix seconds, of its token, or of its refresh
    token if it has one. `address` and
    `client` (the dialect) are those that logged in; later connections by token may have others. `device`: as it was
    given at the login."""

    sid: str
    created: int
    expires: int
    address: str = ""
    client: str = ""
    device: str = ""


class Logins(msgspec.Struct, frozen=True):
    """Newest first, 200 at most."""

    logins: list[LoginView]


class ListLogins(msgspec.Struct):
    """The logins of an account with valid tokens."""

    route = Routed("auth.list_logins", Logins, reads=True)

    actor: AccountId = NO_ACCOUNT


class EndLogin(msgspec.Struct):
    """Revokes the token of one listed login and closes its connections. `not_found` for any other."""

    route = Routed("auth.end_login", Ack)

    sid: str
    actor: AccountId = NO_ACCOUNT


class ChangePassword(msgspec.Struct, kw_only=True):
    """Replaces all secrets of an account by a new one. All its logins end; the reply, Authenticated, is a new one in
    place of the caller's (`caller_sid`), whose device it has, and its `revision` is that of the revocation.
    `unauthenticated` for a wrong old secret, which counts as a failed login."""

    route = Routed("auth.change_password", Authenticated)

    old: Secret
    new: Secret
    actor: AccountId = NO_ACCOUNT
    origin: Origin = Origin()
    refreshable: bool = False
    """The new login gets a refresh token."""
    caller_sid: str = ""

    def __repr__(self) -> str:
        return f"ChangePassword(actor={self.actor}, ***)"


class Logout(msgspec.Struct):
    """Ends one login session and revokes its tokens."""

    route = Routed("auth.logout", Ack)

    sid: str
    actor: AccountId = NO_ACCOUNT


class TokenLogin(msgspec.Struct, frozen=True):
    """An account has logged in by a token that it had. `network`: the client's IPv4 address, or IPv6 /64."""

    account: AccountId
    network: str
    client: str = ""


MAX_TOKEN_LOGINS = 500
"""Of one request."""


class RecordTokenLogins(msgspec.Struct):
    """For the audit trail: edges verify tokens by themselves. At most MAX_TOKEN_LOGINS; a repetition within a day adds
    nothing."""

    route = Routed("auth.token_logins", Ack)

    logins: list[TokenLogin]


class Revocation(msgspec.Struct, array_like=True, frozen=True):
    """Tokens of `sid` are void or, when it is empty, every token of the account with a revision below `number`. `time`
    (Unix seconds): tokens without a revision are void if they were issued before it."""

    number: int
    account: AccountId
    sid: str
    time: int


class Revocations(msgspec.Struct, frozen=True):
    """`last`: the highest number; while `more` is set, request the rest after the last one received. `keys`: the names
    of the keys that verify tokens; empty when unknown. `now`: Unix milliseconds of the replica; 0 when unknown. Each
    replica also publishes this every second, with an empty list."""

    last: int
    revocations: list[Revocation]
    maintenance: bool
    more: bool = False
    keys: list[str] = []
    now: int = 0


class ListRevocations(msgspec.Struct):
    """Requests the revocations after number `since`, the maintenance flag, the keys that verify tokens."""

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
    """The public keys that verify tokens."""

    route = Routed("auth.keys", Keys)


class SetMaintenance(msgspec.Struct):
    """Switches the maintenance mode; published to every edge."""

    route = Routed("auth.maintenance", Ack)

    on: bool
