"""The state of the auth service as this node knows it: maintenance mode, applied revocations, its clock."""

from services.edge.rpc.remote_clock import RemoteClock


class AuthState:
    """`revision`: revocations up to this number are applied to all logged-in clients."""

    __slots__ = ("clock", "maintenance", "revision")

    def __init__(self) -> None:
        self.clock = RemoteClock()
        self.maintenance = False
        self.revision = 0

    def require_revocations_after(self, revision: int) -> None:
        """A login is subject to revocations after this one: list them again, however long ago they were received."""
        self.revision = min(self.revision, revision)
