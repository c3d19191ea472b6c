"""The HTTP part of an edge, on a real port, with real files and fake tokens."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.edge.dialects.registry import HTTP_OPERATIONS
from services.edge.gateway import Gateway
from services.edge.gateway.open_sockets import client_sockets
from services.edge.http import HttpApp, LinkPages, MediaInterface, ProgramInterface, VerificationResult
from services.edge.http.downloads import Downloads
from services.edge.http.file_host import FileHost
from services.edge.http.operations import HttpOperations
from services.edge.http.policy import HttpPolicy
from services.edge.http.resumable_uploads import HttpResumableUploads
from services.edge.http.uploads import HttpUploads, UploadAccess
from services.edge.http.webhooks import HttpWebhooks
from services.edge.media import MediaService
from services.edge.media.directory import DirectoryStore
from services.edge.media.disk import Disk
from services.edge.media.quota import MediaQuota
from services.edge.media.resumable import ResumableUploads
from services.edge.metrics import EdgeMetrics
from shared.clock import now_ms
from shared.contract.auth import Opened, OpenVerification, Requester
from shared.contract.bots import TokenScope
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.model import Media
from shared.contract.push import StopMails
from shared.settings import Settings
from shared.tokens import BadToken, Claims
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.gateway.conftest import pytest_asyncio_loop_factories
from tests.unit.services.edge.gateway.recording_endpoint import RecordingEndpoint
from tests.unit.services.edge.http.http_client import HttpReply, fetch

__all__ = ["pytest_asyncio_loop_factories"]

LIMIT = 2_000_000
HEAD_SECONDS = 0.5


class FakeTokens:
    """Fake tokens.

    `token-N` is valid for account N until it is in `revoked`, and has these scopes. With `away`, no token can be
    checked.
    """

    def __init__(self) -> None:
        self.scopes: frozenset[TokenScope] | None = None
        self.revoked: set[str] = set()
        self.away = False

    async def check(self, token: str) -> Claims:
        if self.away:
            raise RequestError(ErrorCode.UNAVAILABLE, "tokens cannot be checked now, please try again")
        name, _, number = token.partition("-")
        if name != "token" or token in self.revoked:
            raise BadToken("not one of ours")
        return Claims(AccountId(int(number)), "sid", 0, 2**31, "jti", self.scopes)


class FakeWebhooks:
    """Fake webhooks. A message with the secret `secret` is accepted."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str]] = []
        """The texts and the keys of the posted messages."""

    async def post(self, secret: str, text: str, key: str) -> None:
        if secret != "secret":
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such webhook")
        if any(known == key and text != posted for posted, known in self.posted if key):
            raise RequestError(ErrorCode.CONFLICT, "another message has this nonce", "nonce")
        self.posted.append((text, key))


class FakeCounters:
    """The counters of one edge, which works without Redis."""

    def __init__(self) -> None:
        self.sums = Counter[str]()

    async def add(self, name: str, number: int) -> int:
        self.sums[name] += number
        return self.sums[name]

    async def set(self, name: str, number: int) -> None:
        self.sums[name] = number


class FakeClock:
    """A clock in Unix milliseconds. It is `ahead` of the real time."""

    def __init__(self) -> None:
        self.ahead = 0

    def now(self) -> int:
        return now_ms() + self.ahead


class FakeLinks:
    """A fake bus with the results of auth and session. `opened` and `stopped` are the links that were requested."""

    def __init__(self, result: VerificationResult | None) -> None:
        self._result = result
        self.opened: list[tuple[str, str]] = []
        self.stopped: list[str] = []

    async def send(self, request: object, **_: object) -> object:
        match request:
            case OpenVerification(ticket, code):
                self.opened.append((ticket, code))
            case StopMails(token):
                self.stopped.append(token)
        if self._result is None:
            raise RequestError(ErrorCode.UNAVAILABLE, "no reply in time")
        if isinstance(request, OpenVerification):
            return Opened(self._result)
        if self._result != "passed":
            raise RequestError(ErrorCode.NOT_FOUND, "this link is not valid")
        return Requester("login", "192.0.2.1<b>", "ourchat-v2", 1_800_000_000_000)


@dataclass
class HttpSite:
    gateway: Gateway
    endpoint: RecordingEndpoint
    operations: HttpOperations
    media: MediaService
    tokens: FakeTokens
    hooks: FakeWebhooks
    directory: Path
    registry: CollectorRegistry
    clock: FakeClock

    @property
    def port(self) -> int:
        return self.gateway.port

    async def store(self, content: bytes, name: str = "") -> Media:
        upload = self.media.start_upload()
        await upload.write(content)
        return await self.media.store(upload, "file", name)

    async def fetch(self, method: str, path: str, body: bytes = b"", **headers: str) -> HttpReply:
        return await fetch(self.port, method, path, body, **headers)

    async def post(self, body: bytes, query: str = "", token: str = "token-1", **headers: str) -> HttpReply:
        return await self.fetch("POST", f"/media{query}", body, Authorization=f"Bearer {token}", **headers)

    def temporary_files(self) -> int:
        """The number of temporary files."""
        return len(list((self.directory / "spool").iterdir()))

    def temporary_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self.directory / "spool").iterdir())


@pytest.fixture
def sections() -> dict[str, Any]:
    """Settings of the site, by section. A test module may override this fixture."""
    return {}


@pytest.fixture
def stall_seconds() -> float:
    """The seconds for which a client may stall. A test with a stalling client overrides this fixture."""
    return WAIT_SECONDS


@pytest.fixture
async def site(tmp_path: Path, sections: dict[str, Any], stall_seconds: float) -> AsyncIterator[HttpSite]:
    """A running site. A file may have at most 2,000,000 bytes, and the head of a request may take 0.5 s."""
    limits = {"rates": False, "file_bytes": LIMIT, **sections.get("limits", {})}
    edge = {"port": 0, **sections.get("edge", {})}
    files = {"directory": tmp_path, "timeout_seconds": 5, **sections.get("media", {})}
    settings = Settings(media=files, limits=limits, edge=edge)
    registry, tokens, disk, endpoint = CollectorRegistry(), FakeTokens(), Disk(), RecordingEndpoint()
    counters, clock = FakeCounters(), FakeClock()
    metrics, store, quota = EdgeMetrics(registry), DirectoryStore(tmp_path, disk), MediaQuota(counters, settings.media)
    media = MediaService(store, settings, metrics, disk, quota)
    await media.prepare()
    access = UploadAccess(tokens.check, settings)
    resumable = ResumableUploads(store, media, settings, metrics, quota, clock.now)
    sockets = client_sockets(settings.edge, settings.limits)
    operations = HttpOperations(endpoint, HTTP_OPERATIONS, tokens.check, settings, sockets)
    uploads = HttpUploads(media, resumable, access)
    app = HttpApp(
        LinkPages(FakeLinks("wrong")),  # type: ignore[arg-type]
        MediaInterface(
            Downloads(media), uploads, HttpResumableUploads(resumable, access), FileHost(operations, uploads, access)
        ),
        ProgramInterface(operations, HttpWebhooks((hooks := FakeWebhooks()).post, settings.limits)),
        HttpPolicy(settings),
        stall_seconds=stall_seconds,
    )
    gateway = Gateway(settings.edge, settings.limits, endpoint, app, sockets, head_seconds=HEAD_SECONDS)
    await gateway.start()
    yield HttpSite(gateway, endpoint, operations, media, tokens, hooks, tmp_path, registry, clock)
    await gateway.close()
    await media.close()
