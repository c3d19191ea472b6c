"""The state of the auth service as this node knows it: whether auth answers, maintenance mode, applied revocations, and
auth's clock."""

import time

from services.edge.rpc.remote_clock import RemoteClock
from shared.contract.auth import Entrance
from shared.contract.errors import ErrorCode, RequestError

_SILENCE_SECONDS = 4.0
"""If nothing was heard from the auth service for this time, it counts as down. It announces its state each second, or
the node requests its state. A restart takes less than this time."""


class AuthState:
    """`revision`: the number up to which revocations are applied to all clients with a login. `entrance`: how users can
    register and recover passwords. It is None until a replica has sent it."""

    __slots__ = ("_heard_at", "clock", "entrance", "maintenance", "revision")

    def __init__(self) -> None:
        self._heard_at = time.monotonic()
        self.clock = RemoteClock()
        self.maintenance = False
        self.revision = 0
        self.entrance: Entrance | None = None

    def heard(self, entrance: Entrance | None = None) -> None:
        """Note that a replica of the auth service has announced its state or replied."""
        self._heard_at = time.monotonic()
        self.entrance = entrance or self.entrance

    def require_service(self) -> None:
        """Raises RequestError while the auth service is known to be down, or this node is known to be cut off from
        it."""
        if time.monotonic() - self._heard_at > _SILENCE_SECONDS:
            raise RequestError(ErrorCode.UNAVAILABLE, "logins are not possible at the moment, please try again later")

    def require_revocations_after(self, revision: int) -> None:
        """Request the revocations after `revision` again, because a login depends on them. It does not matter how long
        ago this node received them."""
        self.revision = min(self.revision, revision)
