"""Looks up data of the account that logs in: its profile summary, and the number of its undelivered messages."""

from services.edge.rpc.coalescer import RequestCoalescer
from shared.bus.client import Bus
from shared.contract.auth import Authenticated
from shared.contract.bots import CreatedBot
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.contract.message import GetUnread
from shared.contract.model import ProfileSummary
from shared.contract.session import EnsureProfile
from shared.tasks import time_left
from shared.telemetry import log

_log = log(__name__)
_PROFILE_SECONDS = 2.0
_UNREAD_SECONDS = 4.0


class AccountLookup:
    def __init__(self, bus: Bus, summaries: RequestCoalescer[AccountId, ProfileSummary | None]) -> None:
        self._bus = bus
        self._summaries = summaries

    async def summary(self, account: AccountId) -> ProfileSummary | None:
        """Raises RequestError."""
        return await self._summaries.get(account, time_left())

    async def ensure_profile(self, answer: Authenticated, *, is_new: bool = False) -> ProfileSummary | None:
        """Create a missing profile. Returns the current summary. A login does not fail if the session service is
        unavailable. Then an event of the auth service creates the profile, with the name of the registration. The login
        of a new account waits for the profile as long as the operation may last, because the session service cannot
        handle the account before."""
        registered = None
        if answer.nickname:
            real_name = answer.signature if answer.guest else ""
            registered = ProfileSummary(answer.nickname, answer.uuid, 0, answer.nick, answer.guest, real_name)
        try:
            if registered is not None:
                await self._create_profile(answer, None if is_new else _PROFILE_SECONDS)
            return await self._summaries.get(answer.account, _PROFILE_SECONDS) or registered
        except RequestError as error:
            _log.warning("profile not ensured", account=answer.account, error=str(error))
            return registered

    async def ensure_bot_profile(self, created: CreatedBot) -> None:
        """Create the bot's profile. If the session service is unavailable, an event of the auth service creates it
        later."""
        request = EnsureProfile(
            account=created.account, uuid=created.uuid, nickname=created.nickname, created=created.created, bot=True
        )
        try:
            await self._bus.send(request, retry=True)
        except RequestError as error:
            _log.warning("profile not ensured", account=created.account, error=str(error))

    async def count_unread(self, account: AccountId) -> int:
        """The number of undelivered messages, or 0 if it is unknown."""
        request = GetUnread(account, 0)
        try:
            unread = await self._bus.send(request, seconds=_UNREAD_SECONDS, retry=True)
        except RequestError as error:
            _log.warning("undelivered messages not counted", account=account, error=str(error))
            return 0
        return unread.total

    async def _create_profile(self, answer: Authenticated, seconds: float | None) -> None:
        request = EnsureProfile(
            account=answer.account, uuid=answer.uuid, nickname=answer.nickname, icon_id=answer.icon_id,
            signature=answer.signature, vip=answer.vip, created=answer.created, lobby=answer.lobby,
            nick=answer.nick, guest=answer.guest,
        )  # fmt: skip
        await self._bus.send(request, seconds=seconds, retry=True)
