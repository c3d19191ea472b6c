"""Posts for outgoing hooks to addresses outside, of which the status alone counts, and hooks that have stopped."""

import ssl

import nats.errors

from services.session.service.hook_turns import places
from services.session.service.ports import PostFailed
from shared.bus.client import Bus
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.events import OutgoingHooksDue
from shared.contract.subjects import OUTGOING_HOOKS_DUE
from shared.outgoing_addresses import AddressRules
from shared.outgoing_http import OutgoingFailed, OutgoingHttp
from shared.settings import OutgoingHookSettings

_GONE = 410


class HttpHookPoster:
    """Implements the port HookPoster."""

    def __init__(self, settings: OutgoingHookSettings, context: ssl.SSLContext | None = None) -> None:
        rules, at_once = AddressRules(settings.permitted_networks), places(settings.concurrent)
        self._http = OutgoingHttp(rules, settings.timeout_seconds, at_once, context)

    def close(self) -> None:
        self._http.close()

    async def post(self, endpoint: str, headers: dict[str, str], body: bytes) -> None:
        """Raises PostFailed."""
        try:
            named = {"Content-Type": "application/json", **headers}
            response = await self._http.request("POST", endpoint, named, body)
        except OutgoingFailed as error:
            raise PostFailed(str(error)) from error
        if not 200 <= response.status < 300:
            raise PostFailed(f"status {response.status}", is_gone=response.status == _GONE)


class DeadHooks:
    """Implements the port GiveUpHook: an operator who retries the dead letter lets the hook go on."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def store(self, event: OutgoingHooksDue, error: str, attempts: int) -> None:
        try:
            await self._bus.store_dead_letter(OUTGOING_HOOKS_DUE, event, error, attempts)
        except nats.errors.Error as failed:
            raise RequestError(ErrorCode.UNAVAILABLE, "the dead letter is not stored") from failed
