"""Writes logins into the audit trail. Failed logins are counted and written together, because any client can cause them
in large numbers, which would fill the table."""

from collections import Counter
from dataclasses import dataclass, field

from services.auth import domain
from services.auth.domain import Account
from services.auth.store import logins, trail
from shared.addresses import network
from shared.clock import now_ms
from shared.contract.admin import Act
from shared.contract.auth import RecordTokenLogins
from shared.contract.ids import NO_ACCOUNT
from shared.contract.routes import Ack
from shared.transactions import Transactions

_COUNTED = 10_000
"""The number of combinations of kind, account and network that are counted separately between two flushes. This bounds
the memory."""
_ENTRIES = 50
"""The most entries that one flush writes. The remaining failures are written as one more entry."""
_DAY_MS = 86_400_000


@dataclass(frozen=True)
class LoginTrail:
    """Failures are counted by account and network, and written by `flush`."""

    database: Transactions
    _failures: Counter[Act] = field(default_factory=Counter, init=False)

    def note_failure(self, act: str, account: Account | None, address: str) -> None:
        """Note a wrong secret. An identifier that belongs to no account is not stored, because a user may have typed a
        secret in its place."""
        number = NO_ACCOUNT if account is None else account.id
        failure = Act(act, number, "user", network(address) if address else "")
        if failure not in self._failures and len(self._failures) >= _COUNTED:
            failure = Act(act, NO_ACCOUNT, "user")
        self._failures[failure] += 1

    async def flush(self) -> None:
        """Write the most frequent failures since the last flush. If `flush` raises RequestError, the failures are
        kept."""
        failures = Counter(self._failures)
        if failures:
            await self.database.write(trail.add_all, domain.failure_entries(failures, _ENTRIES))
            self._failures.subtract(failures)
            for written in [one for one, count in self._failures.items() if count == 0]:
                del self._failures[written]

    async def record_token_logins(self, request: RecordTokenLogins) -> Ack:
        """Record logins by token. A repetition within a day has no effect. Raises RequestError (`invalid`,
        `unavailable`)."""
        domain.check_token_logins(request)
        since = now_ms() - _DAY_MS
        await self.database.write(trail.add_token_logins, request.logins, since)
        await self.database.write(logins.mark_used, request.logins)
        return Ack()
