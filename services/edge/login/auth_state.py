"""The state of the auth service as this node knows it: whether it answers, maintenance mode, applied revocations, its
clock."""

import time

from services.edge.rpc.remote_clock import RemoteClock
from shared.contract.errors import ErrorCode, RequestError

_SILENCE_SECONDS = 4.0
"""Auth announces its state each second, or is requested to; a restart takes less."""


class AuthState:
    """`revision`: revocations up to this number are applied to all logged-in clients."""

    __slots__ = ("_heard_at", "clock", "maintenance", "revision")

    def __init__(self) -> None:
        self._heard_at = time.monotonic()
        self.clock = RemoteClock()
        self.maintenance = False
        self.revision = 0

    def heard(self) -> None:
        """A replica of auth has announced its state or replied."""
        self._heard_at = time.monotonic()

    def require_service(self) -> None:
        """Raises RequestError while auth is known to be down, or this node to be cut off from it."""
        if time.monotonic() - self._heard_at > _SILENCE_SECONDS:
            raise RequestError(ErrorCode.UNAVAILABLE, "logins are not possible at the moment, please try again later")

    def require_revocations_after(self, revision: int) -> None:
        """A login is subject to revocations after this one: list them again, however long ago they were received."""
        self.revision = min(self.revision, revision)
