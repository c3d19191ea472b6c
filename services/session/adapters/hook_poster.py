"""Posts for outgoing hooks to addresses outside. Of a response, its status alone counts."""

import ssl

from services.session.service.hook_turns import places
from services.session.service.ports import PostFailed
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
