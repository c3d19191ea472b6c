"""The operator's notices: who can be told, and where. What is told is a message, like any other."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from services.session import domain
from services.session.adapters.edge_notifier import Notices, Told
from services.session.metrics import Metrics
from services.session.store import chats, profiles
from shared.contract.admin import AccountList, ListAccounts, NoticesOpened, OpenNotices
from shared.contract.edge import ChatCreated
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, SYSTEM_UUID, AccountId
from shared.contract.session import EnsureProfile
from shared.database import Database, now_ms
from shared.presence import PresenceSnapshot
from shared.settings import Settings
from shared.telemetry import log

_log = log(__name__)

_PAGE = 5_000
_TOGETHER = 500

LookUp = Callable[[Sequence[AccountId]], Awaitable[PresenceSnapshot]]
"""Where these accounts are connected."""


class Announcements:
    def __init__(
        self, database: Database, notices: Notices, look_up: LookUp, metrics: Metrics, settings: Settings
    ) -> None:
        self._database = database
        self._notices = notices
        self._look_up = look_up
        self._metrics = metrics
        self._name = settings.notices.name

    async def introduce_herald(self) -> None:
        """Every installation has it, under the name that is set, before anything else happens."""
        seed = EnsureProfile(account=SYSTEM_ACCOUNT, uuid=SYSTEM_UUID, nickname=self._name)
        await self._database.write(partial(profiles.introduce, seed=seed, now=now_ms()))

    async def list_accounts(self, request: ListAccounts) -> AccountList:
        """Raises Refused when it is not known who is online."""
        page = partial(profiles.living_after, account=request.after, most=_PAGE)
        found = await self._database.read(page)
        last = found[-1] if len(found) == _PAGE else NO_ACCOUNT
        accounts = [account for account in found if account != SYSTEM_ACCOUNT]
        if request.online:
            homes = (await self._look_up(accounts)).nodes
            if homes is None:
                raise RequestError(
                    ErrorCode.UNAVAILABLE, "who is online is not known now, please try again in a moment"
                )
            accounts = [account for account in accounts if account in homes]
        return AccountList(accounts, last)

    async def open_notices(self, request: OpenNotices) -> NoticesOpened:
        domain.check_many(request.accounts, _TOGETHER, "accounts")
        accounts = [account for account in domain.storable(request.accounts) if account != SYSTEM_ACCOUNT]
        opened, made = await self._database.write(partial(chats.open_notices, accounts=accounts, now=now_ms()))
        self._metrics.chats.inc(len(made))
        told = [
            Told(ChatCreated(chat.id, SYSTEM_ACCOUNT, [SYSTEM_ACCOUNT, account], chat.version, chat.name), [account])
            for account, chat in made.items()
        ]
        await self._notices.announce({chat.id: chat.version for chat in made.values()}, told)
        _log.info("operator acts", act="notice", by="admin", accounts=len(opened))
        faces = await self._database.read(partial(profiles.faces_of, accounts=[SYSTEM_ACCOUNT]), brief=True)
        return NoticesOpened(opened, faces[SYSTEM_ACCOUNT])
