"""One run of an edge: what its connections share. It decides nothing itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from services.edge.catchup.reader import BacklogReader
from services.edge.delivery.local_chats import LocalChats
from services.edge.media import MediaService
from services.edge.metrics import EdgeMetrics
from services.edge.presence.local_accounts import LocalAccounts
from services.edge.receipts.read_state_flusher import ReadStateFlusher
from services.edge.rpc.coalescer import RequestCoalescer
from services.edge.rpc.sync_requests import SyncRequests
from services.edge.upstream.publisher import MessagePublisher
from services.edge.upstream.tick_batcher import TickBatcher
from shared.bus.client import Bus
from shared.contract.ids import AccountId, NodeId
from shared.contract.model import Profile, ProfileSummary
from shared.settings import Settings
from shared.tasks import Tasks


@dataclass(eq=False)
class EdgeContext:
    settings: Settings
    id: NodeId
    bus: Bus
    metrics: EdgeMetrics
    accounts: LocalAccounts
    chats: LocalChats
    publisher: MessagePublisher
    read_state: ReadStateFlusher
    ticks: TickBatcher
    media: MediaService
    summaries: RequestCoalescer[AccountId, ProfileSummary | None]
    profiles: RequestCoalescer[AccountId, Profile | None]
    syncs: SyncRequests
    backlogs: BacklogReader
    tasks: Tasks = field(default_factory=Tasks)
    maintenance: bool = False
    revision: int = 0
    """Up to this number, revocations have been carried out for everybody who is logged in."""
    clock: Callable[[], float] = field(init=False)
    """The monotonic clock that connections and dialects are given: the event loop's, which is looked up once, since
    that costs a system call before Python 3.12."""

    def __post_init__(self) -> None:
        self.clock = asyncio.get_running_loop().time

    async def close(self) -> None:
        """Whatever is still under way ends."""
        await self.tasks.close()
        await self.syncs.close()
        await self.summaries.close()
        await self.profiles.close()
        await self.accounts.close()

    def require_revocations_after(self, revision: int) -> None:
        """Somebody is logged in who is subject to revocations after this one, however long ago they were heard of."""
        self.revision = min(self.revision, revision)
