"""Cheap hashes that wait until they are let through."""

import threading

from argon2 import PasswordHasher


class Gate(PasswordHasher):
    """Names the threads that passed."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.open, self.reached = threading.Event(), threading.Event()
        self.open.set()
        self.threads: list[str] = []

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._pass()
        return super().hash(password, salt=salt)

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:  # type: ignore[override]
        self._pass()
        return super().verify(hash, password)

    def _pass(self) -> None:
        self.reached.set()
        assert self.open.wait(10)
        self.threads.append(threading.current_thread().name)
