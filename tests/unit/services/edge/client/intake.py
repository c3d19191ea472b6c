"""The connection of one client together with its inbox, for tests of the inbox."""

from itertools import count

from services.edge.canonical.frames import Frame
from services.edge.client.connection import Connection
from services.edge.client.inbox import ClientInbox, PostBatch, Work
from services.edge.dialects.base import ConnectionInfo, Request
from services.edge.dialects.registry import DIALECTS
from services.edge.rate_limit import AccountRequests
from shared.contract.auth import Authenticated
from shared.contract.ids import AccountId
from shared.settings.edge import EdgeSettings
from shared.settings.limits import LimitsSettings
from tests.unit.services.edge.edge_client import FakeSocket
from tests.unit.services.edge.json_dialect import JsonDialect, frame

NOW = 1_000.0
_numbers = count(5)
ENTERED = Authenticated(
    account=AccountId(1), sid="sid", token="", expires=2**31, uuid="", nickname="", revision=3
)  # fmt: skip


class Intake:
    def __init__(self, limits: LimitsSettings | None = None, *, logged_in: bool = True, detected: bool = True) -> None:
        info = ConnectionInfo(limits or LimitsSettings(rates=False), "http://chat.example")
        dialect = JsonDialect(info) if detected else None
        self.connection = Connection(next(_numbers), "192.0.2.1", dialect, DIALECTS, info, NOW)
        self.socket = FakeSocket()
        self.queue = ClientInbox(self.connection, self.socket, EdgeSettings(), NOW)
        if logged_in:
            self.connection.logged_in(ENTERED, AccountRequests(1e9, 1e9, NOW))

    def receive(self, frame: Frame, now: float = NOW) -> None:
        self.queue.receive(frame, now)

    def next_work(self, now: float = NOW, **patience: float) -> Work | None:
        return self.queue.next_work(now, **patience) if self.queue.frames or self.queue.decoded else None

    def drain(self, now: float = NOW) -> list[Work]:
        done = []
        while (work := self.next_work(now)) is not None:
            done.append(work)
        return done


def post(ref: int, chat: int = 1) -> bytes:
    return frame(ref=ref, do="post", chat=chat, text="hello")


def requests_of(work: Work | None) -> list[Request]:
    """Returns the requests in this work, or none if the work is of another kind."""
    if isinstance(work, PostBatch):
        return work.requests
    return [work] if isinstance(work, Request) else []


def contexts(work: Work | None) -> list[object]:
    return [request.context for request in requests_of(work)]
