"""Looks up the account of a login: its profile summary, and its number of undelivered messages."""

import time

from services.edge.rpc.coalescer import RequestCoalescer
from shared.bus.client import Bus
from shared.contract.auth import Authenticated
from shared.contract.bots import CreatedBot
from shared.contract.errors import RequestError
from shared.contract.ids import AccountId
from shared.contract.message import GetUnread
from shared.contract.model import ProfileSummary
from shared.contract.session import EnsureProfile
from shared.telemetry import log

_log = log(__name__)
_PROFILE_SECONDS = 2.0
_UNREAD_SECONDS = 4.0


class AccountLookup:
    """A new account waits for its profile until `seconds` have passed since its registration began."""

    def __init__(self, bus: Bus, summaries: RequestCoalescer[AccountId, ProfileSummary | None], seconds: float) -> None:
        self._bus = bus
        self._summaries = summaries
        self._seconds = seconds

    async def summary(self, account: AccountId, seconds: float) -> ProfileSummary | None:
        """Raises RequestError."""
        return await self._summaries.get(account, seconds)

    async def ensure_profile(self, answer: Authenticated, registered_at: float | None = None) -> ProfileSummary | None:
        """Creates a missing profile; returns the current summary. If session is unavailable, a login does not fail: an
        event creates the profile, too, and the account keeps the name with which it was registered. `registered_at`:
        when the registration began, by the monotonic clock; until the profile is there, session knows no such
        account."""
        registered = ProfileSummary(answer.nickname, answer.uuid) if answer.nickname else None
        try:
            if registered is not None:
                await self._create_profile(answer, self._patience(registered_at))
            return await self._summaries.get(answer.account, _PROFILE_SECONDS) or registered
        except RequestError as error:
            _log.warning("profile not ensured", account=answer.account, error=str(error))
            return registered

    def _patience(self, made_at: float | None) -> float:
        left = 0.0 if made_at is None else made_at + self._seconds - time.monotonic()
        return max(left, _PROFILE_SECONDS)

    async def ensure_bot_profile(self, created: CreatedBot, made_at: float) -> None:
        """If session is unavailable, an event creates the profile."""
        request = EnsureProfile(
            account=created.account, uuid=created.uuid, nickname=created.nickname, created=created.created, bot=True
        )
        try:
            await self._bus.send(request, seconds=self._patience(made_at), retry=True)
        except RequestError as error:
            _log.warning("profile not ensured", account=created.account, error=str(error))

    async def count_unread(self, account: AccountId) -> int:
        """0 if it is not known."""
        request = GetUnread(account, 0)
        try:
            unread = await self._bus.send(request, seconds=_UNREAD_SECONDS, retry=True)
        except RequestError as error:
            _log.warning("undelivered messages not counted", account=account, error=str(error))
            return 0
        return unread.total

    async def _create_profile(self, answer: Authenticated, seconds: float) -> None:
        request = EnsureProfile(
            account=answer.account, uuid=answer.uuid, nickname=answer.nickname, icon_id=answer.icon_id,
            signature=answer.signature, vip=answer.vip, created=answer.created, lobby=answer.lobby,
        )  # fmt: skip
        await self._bus.send(request, seconds=seconds, retry=True)
