"""What auth is asked: registration, login, tokens, verification, deletion."""

from enum import StrEnum
from typing import Literal

import msgspec

from shared.contract.ids import NO_ACCOUNT, AccountId, NodeId
from shared.contract.model import Secret


class Origin(msgspec.Struct, frozen=True):
    """Where a request comes from: the edge node, the connection on it, and the client's address (for limits)."""

    node: NodeId = NodeId("")
    connection: int = 0
    address: str = ""


class Register(msgspec.Struct, kw_only=True):
    """Make an account. Fails with `conflict` and the taken `field`. Without any identifier it is known by its OC
    number alone (v0's `nick`)."""

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
    """The verification this request waited for, when it is repeated after it."""

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
    """Log in by secret. Unknown account and wrong secret fail alike (`unauthenticated`), in the same time."""

    kind: IdentifierKind
    identifier: str
    secret: Secret
    origin: Origin = Origin()
    ticket: str = ""


class Authenticated(msgspec.Struct, tag="authenticated", frozen=True, kw_only=True):
    """Registered or logged in. `token` is a JWT for login session `sid`; the seeds let session heal a profile."""

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
    """The highest revocation number when this login was made: only later ones end it."""

    def __repr__(self) -> str:
        return f"Authenticated(account={self.account}, sid={self.sid!r}, ***)"


class VerificationNeeded(msgspec.Struct, tag="verification", frozen=True):
    """The request is withheld until the mailed link of this ticket is opened (v2: 13, 14, 15)."""

    ticket: str
    expires: int
    """Unix milliseconds."""


class SendVerification(msgspec.Struct):
    """Mail the one-time link of a ticket (v2: 14). Asked again, it is mailed again, a few times."""

    ticket: str
    origin: Origin = Origin()
    base_url: str = ""
    """`http://host:port` that the link starts with."""


class OpenVerification(msgspec.Struct):
    """The link was opened: `/verify/<ticket>.<code>`. A wrong code leaves the right one valid."""

    ticket: str
    code: str

    def __repr__(self) -> str:
        return f"OpenVerification({self.ticket!r}, ***)"


class Opened(msgspec.Struct, frozen=True):
    outcome: Literal["passed", "wrong", "expired"]


class Recover(msgspec.Struct, kw_only=True):
    """A new password by the answer to the security question. Unknown account, no answer stored, wrong question or
    answer fail alike (`unauthenticated`), in the same time, and count as failed logins. Revokes the account's tokens
    and connections."""

    username: str
    """Or an e-mail address, or an OC number (IdentifierKind.ANY)."""
    question_id: int
    answer: str
    secret: Secret
    origin: Origin = Origin()

    def __repr__(self) -> str:
        return f"Recover(username={self.username!r}, question_id={self.question_id}, ***)"


class SetSecurity(msgspec.Struct):
    """Replace the security question and its answer; with an empty one the account cannot be recovered any more."""

    question_id: int
    answer: str
    actor: AccountId = NO_ACCOUNT

    def __repr__(self) -> str:
        return f"SetSecurity(question_id={self.question_id}, actor={self.actor}, ***)"


class DeleteAccount(msgspec.Struct):
    """Erase the account everywhere (v2: 16). Answered once auth has committed and every reachable service has
    confirmed, at most 2 s; a durable event does the rest."""

    actor: AccountId = NO_ACCOUNT


class Logout(msgspec.Struct):
    """End one login session: its tokens are no good any more."""

    sid: str
    actor: AccountId = NO_ACCOUNT


class ListRevocations(msgspec.Struct):
    """What edges must know within a second: revocations after number `since`, the maintenance flag, which keys verify
    tokens."""

    since: int = 0


class Revocation(msgspec.Struct, array_like=True, frozen=True):
    """Tokens of `sid` (or, when empty, every token of the account issued before `time`, Unix seconds) are void."""

    number: int
    account: AccountId
    sid: str
    time: int


class Revocations(msgspec.Struct, frozen=True):
    """`last` is the highest number there is; ask again from the last one received while `more` is set. `keys`: the
    names of those that verify tokens, or none at all when that is not told."""

    last: int
    revocations: list[Revocation]
    maintenance: bool
    more: bool = False
    keys: list[str] = []


class GetKeys(msgspec.Struct):
    """The public keys that verify tokens."""


class PublicKey(msgspec.Struct, frozen=True):
    kid: str
    pem: str


class Keys(msgspec.Struct, frozen=True):
    issuer: str
    audience: str
    keys: list[PublicKey]


class SetMaintenance(msgspec.Struct):
    """The operator's maintenance mode; told to every edge."""

    on: bool
