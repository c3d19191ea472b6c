"""The ports of the use cases. Adapters implement the ports. `app` gives the adapters to the use cases."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Literal, Protocol

from services.auth.domain import IssuedToken
from services.auth.store.verifications import VerificationMail
from shared.contract.auth import Keys
from shared.contract.edge import EdgeEvent
from shared.contract.events import MailRequested
from shared.contract.ids import AccountId, NodeId
from shared.contract.routes import Ack, Route
from shared.contract.session import EraseAccount

WindowChange = Literal["add", "peek", "begin", "fail", "succeed"]
"""`begin` counts a running attempt. `fail` and `succeed` end a running attempt, and `fail` also counts an event."""


class Admission(IntEnum):
    """The limiter's decision whether an attempt may run."""

    ADMITTED = 0
    BUSY = 1
    """Running attempts have taken all places. A place becomes free when its attempt succeeds."""
    FULL = 2
    """The events have reached the limit."""


class PasswordHashing(Protocol):
    """`hash` and `verify` raise RequestError (`unavailable`) while too many hashes are queued."""

    async def hash(self, texts: Sequence[str]) -> list[str]:
        """A verifier for each text."""

    async def verify(self, verifier: str | None, text: str) -> bool:
        """Whether the text matches. If `verifier` is None, the text never matches, but the check takes the same
        time."""

    def is_outdated(self, verifier: str) -> bool:
        """Whether the verifier was made with cheaper parameters than the present settings have."""

    @property
    def is_busy(self) -> bool:
        """Whether requests wait for a hash. If so, callers should not compute hashes that can be left out."""


class TokenIssuer(Protocol):
    def issue(self, account: AccountId, now: float, revision: int, sid: str = "") -> IssuedToken:
        """A token of a new login, or of the login `sid`, issued at `now` (Unix seconds). `revision`: see
        shared.tokens.Claims. Calls with the same values return the same token."""

    def issue_brief(self, account: AccountId, now: float, revision: int, sid: str = "") -> IssuedToken:
        """Like `issue`, for a token that can be refreshed."""

    def issue_to_bot(
        self, account: AccountId, now: float, revision: int, scopes: Sequence[str], days: float, sid: str = ""
    ) -> IssuedToken:
        """Like `issue`, for a bot's token."""


class PublicKeySource(Protocol):
    """The keys that verify tokens."""

    @property
    def key_ids(self) -> list[str]: ...

    def public_keys(self) -> Keys: ...

    def reload(self) -> None:
        """Load added and deleted keys from disk. The call blocks."""


class EventWindow(Protocol):
    """Counters of events by key in sliding windows. Never fails."""

    async def add(self, key: str, seconds: float, limit: int) -> int:
        """Count one more event if the last `seconds` have fewer than `limit`. Returns the previous number."""

    async def count(self, key: str, seconds: float) -> int:
        """The number of events within the last `seconds`."""

    async def begin(self, key: str, seconds: float, limit: int) -> Admission:
        """Count a running attempt if there are fewer than `limit` events and running attempts together."""

    async def end(self, key: str, seconds: float, limit: int, *, failed: bool) -> None:
        """Ends a running attempt. A failed attempt counts as an event."""

    async def clear(self, key: str) -> None: ...


class EdgeNotifications(Protocol):
    """Notifications to edges, delivered at most once."""

    async def notify_all(self, event: EdgeEvent) -> None: ...

    async def notify_node(self, node: NodeId, event: EdgeEvent) -> None: ...


class RequestErasure(Protocol):
    """Requests the erasure of an account from one of the services that have data of accounts. Raises RequestError."""

    async def __call__(
        self, route: Route[EraseAccount, Ack], request: EraseAccount, *, seconds: float, retry: bool
    ) -> Ack: ...


class EventOutbox(Protocol):
    """Publishes committed events."""

    def wake(self) -> None:
        """Publish soon, because an event was committed."""


class VerificationTemplate(Protocol):
    def __call__(self, mail: VerificationMail, link: str) -> MailRequested: ...


class RecoveryTemplate(Protocol):
    def __call__(self, email: str, ticket: str, expires: int) -> MailRequested: ...
