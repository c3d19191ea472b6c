"""The ports of the use cases. Adapters implement them, `app` wires them."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Literal, Protocol

from services.auth.domain import IssuedToken
from services.auth.store.verifications import VerificationMail
from shared.contract.auth import Keys
from shared.contract.edge import Notice
from shared.contract.events import MailRequested
from shared.contract.ids import AccountId, NodeId

WindowChange = Literal["add", "peek", "begin", "fail", "succeed"]
"""`begin` counts a running attempt; `fail` and `succeed` end one, and `fail` counts an event in its place."""


class Admission(IntEnum):
    """Whether an attempt may run."""

    ADMITTED = 0
    BUSY = 1
    """Running attempts have all places. They are free again if the attempts succeed."""
    FULL = 2
    """There are as many events as the limit allows."""


class PasswordHashing(Protocol):
    """`hash` and `verify` raise RequestError (`unavailable`) while too many hashes are queued."""

    async def hash(self, texts: Sequence[str]) -> list[str]:
        """A verifier for each text."""

    async def verify(self, verifier: str | None, text: str) -> bool:
        """Whether the text matches. Without a verifier it never does, but takes the same time."""

    def is_outdated(self, verifier: str) -> bool:
        """Whether the verifier was made with cheaper parameters than today's."""

    @property
    def is_busy(self) -> bool:
        """Whether requests are queued for a hash, so that optional hashes should not be made."""


class TokenIssuer(Protocol):
    def issue(self, account: AccountId, now: float, revision: int, sid: str = "") -> IssuedToken:
        """A token of a new login session, or of the session `sid`, issued at `now` (Unix seconds). `revision`: see
        shared.tokens.Claims. The same values make the same token."""

    def issue_brief(self, account: AccountId, now: float, revision: int, sid: str = "") -> IssuedToken:
        """As `issue`, a token that is refreshed."""


class BotTokenIssuer(Protocol):
    def issue_to_bot(
        self, account: AccountId, now: float, revision: int, scopes: Sequence[str], days: float, sid: str = ""
    ) -> IssuedToken:
        """As TokenIssuer.issue, a token of a bot."""


class PublicKeySource(Protocol):
    """The keys that verify tokens."""

    @property
    def key_ids(self) -> list[str]: ...

    def public_keys(self) -> Keys: ...

    def reload(self) -> None:
        """Reads added and deleted keys from disk; blocks."""


class EventWindow(Protocol):
    """Counts events by key in sliding windows. Never fails."""

    async def add(self, key: str, seconds: float, limit: int) -> int:
        """Counts one more event if the last `seconds` have fewer than `limit`. Returns the former number."""

    async def count(self, key: str, seconds: float) -> int:
        """The number of events within the last `seconds`."""

    async def begin(self, key: str, seconds: float, limit: int) -> Admission:
        """Counts a running attempt if it is admitted: events and running attempts are fewer than `limit`."""

    async def end(self, key: str, seconds: float, limit: int, *, failed: bool) -> None:
        """Ends a running attempt; a failed one is an event."""

    async def clear(self, key: str) -> None: ...


class EdgeNotifications(Protocol):
    """Notifications to edges, delivered at most once."""

    async def notify_all(self, notice: Notice) -> None: ...

    async def notify_node(self, node: NodeId, notice: Notice) -> None: ...


class EventOutbox(Protocol):
    """Publishes committed events."""

    def wake(self) -> None:
        """An event was committed."""


class VerificationTemplate(Protocol):
    def __call__(self, mail: VerificationMail, link: str) -> MailRequested: ...


class RecoveryTemplate(Protocol):
    def __call__(self, email: str, ticket: str, expires: int) -> MailRequested: ...
