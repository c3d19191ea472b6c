"""The operator's announcements: the system account, the recipients, and the chats to which the system account posts. An
announcement itself is a message like any other."""

from services.session import list_limits
from services.session.metrics import SessionMetrics
from services.session.service.ports import ChangeNotifier, Notification, OnlineAccounts
from services.session.store import chats, profiles
from shared.clock import now_ms
from shared.contract.admin import AccountList, AnnouncementsOpened, ListAccounts, OpenAnnouncements
from shared.contract.edge import ChatCreated
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, SYSTEM_UUID
from shared.contract.session import EnsureProfile
from shared.settings import Settings
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)

_PAGE = 5_000
_RECIPIENTS = 500


class Announcements:
    def __init__(
        self,
        database: Transactions,
        notifier: ChangeNotifier,
        online: OnlineAccounts,
        metrics: SessionMetrics,
        settings: Settings,
    ) -> None:
        self._database = database
        self._notifier = notifier
        self._online = online
        self._metrics = metrics
        self._name = settings.announcements.name

    async def ensure_system_account(self) -> None:
        """Create the system account, or rename it to the configured name. Must run before the service accepts
        requests."""
        seed = EnsureProfile(account=SYSTEM_ACCOUNT, uuid=SYSTEM_UUID, nickname=self._name)
        await self._database.write(profiles.insert_system, seed, now_ms())

    async def list_accounts(self, request: ListAccounts) -> AccountList:
        """List accounts, or only online ones. Raises RequestError if online accounts are requested and presence is
        unknown."""
        found = await self._database.read(profiles.list_active, request.after, _PAGE)
        last = found[-1] if len(found) == _PAGE else NO_ACCOUNT
        accounts = [account for account in found if account != SYSTEM_ACCOUNT]
        if request.online:
            online = await self._online.select_online(accounts)
            if online is None:
                raise RequestError(
                    ErrorCode.UNAVAILABLE, "the server does not know now who is online, please try again in a moment"
                )
            accounts = [account for account in accounts if account in online]
        return AccountList(accounts, last)

    async def open_announcements(self, request: OpenAnnouncements) -> AnnouncementsOpened:
        """Returns the announcement chat of each account. Missing chats are created. Unknown and deleted accounts are
        left out."""
        list_limits.check_batch_size(request.accounts, _RECIPIENTS, "accounts")
        accounts = [account for account in list_limits.in_int64(request.accounts) if account != SYSTEM_ACCOUNT]
        opened, created = await self._database.write(chats.open_announcement_chats, accounts, now_ms())
        self._metrics.chats.inc(len(created))
        notifications = [
            Notification(
                ChatCreated(chat.id, SYSTEM_ACCOUNT, [SYSTEM_ACCOUNT, account], chat.version, chat.name), [account]
            )
            for account, chat in created.items()
        ]
        await self._notifier.publish({chat.id: chat.version for chat in created.values()}, notifications)
        _log.info("operator acts", act="announce", by="admin", accounts=len(opened))
        summaries = await self._database.read(profiles.summaries_of, [SYSTEM_ACCOUNT], brief=True)
        return AnnouncementsOpened(opened, summaries[SYSTEM_ACCOUNT])
