"""A cheap password hasher that blocks until a test releases it."""

import threading

from argon2 import PasswordHasher


class BlockingHasher(PasswordHasher):
    """A hasher that blocks while `open` is clear.

    `reached` is set when a hash has started. `threads` are the names of the threads that have hashed.
    """

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.open, self.reached = threading.Event(), threading.Event()
        self.open.set()
        self.threads: list[str] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._wait()
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self._wait()
        return super().verify(hash, password)

    def _wait(self) -> None:
        self.reached.set()
        assert self.open.wait(10)
        self.threads.append(threading.current_thread().name)
