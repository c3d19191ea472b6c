"""This node's knowledge of the auth service: maintenance mode, and the revision of applied revocations."""


class AuthState:
    """`revision`: revocations up to this number are applied to all logged-in clients."""

    __slots__ = ("maintenance", "revision")

    def __init__(self) -> None:
        self.maintenance = False
        self.revision = 0

    def require_revocations_after(self, revision: int) -> None:
        """A login is subject to revocations after this one: list them again, however long ago they were received."""
        self.revision = min(self.revision, revision)
