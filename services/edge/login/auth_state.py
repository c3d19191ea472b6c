"""What this node knows of the auth service: maintenance mode, and how far revocations are applied."""


class AuthState:
    """`revision`: revocations up to this number are applied to everyone who is logged in."""

    __slots__ = ("maintenance", "revision")

    def __init__(self) -> None:
        self.maintenance = False
        self.revision = 0

    def require_revocations_after(self, revision: int) -> None:
        """A login is subject to revocations after this one: list them again, however long ago they were received."""
        self.revision = min(self.revision, revision)
