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
from tests.support.waiting import WAIT_SECONDS, until
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
    app: HttpApp
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

    async def until_temporary_files(self, count: int) -> None:
        await until(lambda: self.temporary_files() == count)

    def temporary_bytes(self) -> int:
        return sum(path.stat().st_size for path in (self.directory / "spool").iterdir())


def make_site(settings: Settings, links: LinkPages, **options: Any) -> HttpSite:
    """Returns a site that has not started yet. The options are those of HttpApp."""
    directory, registry, disk = Path(settings.media.directory), CollectorRegistry(), Disk()
    tokens, hooks, endpoint, clock = FakeTokens(), FakeWebhooks(), RecordingEndpoint(), FakeClock()
    metrics, store, quota = (
        EdgeMetrics(registry),
        DirectoryStore(directory, disk),
        MediaQuota(FakeCounters(), settings.media),
    )
    media, access = MediaService(store, settings, metrics, disk, quota), UploadAccess(tokens.check, settings)
    resumable = ResumableUploads(store, media, settings, metrics, quota, clock.now)
    sockets = client_sockets(settings.edge, settings.limits)
    operations = HttpOperations(endpoint, HTTP_OPERATIONS, tokens.check, settings, sockets)
    uploads = HttpUploads(media, resumable, access)
    app = HttpApp(
        links,
        MediaInterface(
            Downloads(media), uploads, HttpResumableUploads(resumable, access), FileHost(operations, uploads, access)
        ),
        ProgramInterface(operations, HttpWebhooks(hooks.post, settings.limits)),
        HttpPolicy(settings),
        **options,
    )
    gateway = Gateway(settings.edge, settings.limits, endpoint, app, sockets, head_seconds=HEAD_SECONDS)
    return HttpSite(app, gateway, endpoint, operations, media, tokens, hooks, directory, registry, clock)


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
    links: Any = FakeLinks("wrong")
    site = make_site(Settings(media=files, limits=limits, edge=edge), LinkPages(links), stall_seconds=stall_seconds)
    await site.media.prepare()
    await site.gateway.start()
    yield site
    await site.gateway.close()
    await site.media.close()
