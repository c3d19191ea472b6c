"""What the load generator speaks: the client's side of a dialect, as much of it as a scenario needs, and pure."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import Enum

import msgspec

from bench.load.message_tag import Mark


class Person(msgspec.Struct):
    """An account. `secret` is its password as these dialects send it (sha256 in hex), or its service secret."""

    name: str
    secret: str
    ocid: int = 0
    uuid: str = ""
    token: str = ""


class Asked(Enum):
    """What a reply answers."""

    REGISTRATION = "registration"
    LOGIN = "login"
    CHAT = "chat"
    MESSAGE = "message"
    ANYTHING = "request"
    """Whatever was asked first."""


class Said(msgspec.Struct, gc=False):
    """A message of the run; `position` is its place in the chat, as well as the dialect tells it."""

    mark: Mark
    position: int


class Reply(msgspec.Struct):
    """`refusal` is empty when it was done; `said` are the run's messages of a page."""

    to: Asked
    refusal: str = ""
    ocid: int = 0
    token: str = ""
    chat: int = 0
    said: Sequence[Said] = ()


class Aside(msgspec.Struct):
    """Nothing that a scenario listens to."""


Heard = Said | Reply | Aside
ASIDE = Aside()


class Tongue(ABC):
    path: str
    asks_for_missed: bool = False
    """What was said meanwhile is not told after the login."""

    @abstractmethod
    def login(self, person: Person) -> bytes:
        """A first frame that logs in."""

    @abstractmethod
    def around(self, person: Person, chat: int) -> tuple[bytes, bytes]:
        """What stands before and after the text of a message, once for all messages."""

    @abstractmethod
    def heard(self, payload: bytes) -> Heard:
        """Raises msgspec.MsgspecError or ValueError for what no server sends."""

    def missed(self, person: Person, chat: int, after: int) -> Sequence[bytes]:
        """Frames that ask for what was said in a chat after a position. The last is answered by a page of it, or, after
        everything was told as if it were new, by anything else."""
        raise NotImplementedError


class Founding(Tongue):
    """One that makes accounts and chats, too."""

    @abstractmethod
    def registration(self, person: Person) -> bytes: ...

    @abstractmethod
    def creation(self, person: Person, members: Sequence[Person]) -> bytes: ...
