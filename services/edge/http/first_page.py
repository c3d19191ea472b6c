"""The first page: two users of two dialects in a browser, for trials on the own machine (`edge.demo`)."""

from collections.abc import Mapping

import msgspec

from services.edge.gateway.web_origins import WebOrigins
from services.edge.http.pages import not_allowed, not_found, text
from services.edge.http.request import HttpRequest, Response
from services.edge.http.supervisor import NoSupervisor, request_supervisor
from services.edge.http.web_files import WebFiles
from shared.contract.supervision import MessageTimes, SystemProcess, SystemRequest
from shared.settings import EdgeSettings

_BODY_BYTES = 4096
_STATUS: Mapping[str, int] = {"": 200, "token": 403, "process": 404}
_ERRORS: Mapping[str, str] = {
    "token": "This is not the token that `dragoman up` has printed.",
    "process": "There is no such process.",
}


class SystemView(msgspec.Struct):
    """What the page knows of the system. Without a supervisor there are no `processes`. `dashboard`: its port, 0
    without it. `way`: of a chat's last message, if it was requested."""

    edge: str
    supervised: bool
    processes: list[SystemProcess]
    ready_seconds: float = 0.0
    error: str = ""
    dashboard: int = 0
    way: MessageTimes | None = None


class FirstPage:
    """`GET /` and `/web/…`: files. `GET /web/api/system`: the processes. `POST /web/api/kill`, `/web/api/way`: a
    SystemRequest as JSON, from this page alone; the supervisor checks its token."""

    def __init__(self, settings: EdgeSettings) -> None:
        self._name = settings.name
        self._supervisor_port = settings.supervisor_port
        self._origins = {origin.lower() for origin in settings.allowed_origins}
        self._pages = WebOrigins(settings.allowed_origins, settings.public_url)
        self._files = WebFiles()

    def serves(self, path: str) -> bool:
        return path == "/" or path.startswith("/web/")

    async def respond(self, request: HttpRequest) -> Response:
        """Raises ClientDisconnected."""
        if not self._pages.is_own(request.headers.get("host", "")):
            return text(421, "This is no known name of the system: see edge.public_url and edge.allowed_origins.\n")
        if request.path in ("/web/api/kill", "/web/api/way"):
            return await self._command(request) if request.method == "POST" else not_allowed("POST")
        if request.method not in ("GET", "HEAD"):
            return not_allowed("GET, HEAD")
        if request.path == "/web/api/system":
            return await self._request(SystemRequest())
        return self._files.find(request.path, request.headers) or not_found()

    async def _command(self, request: HttpRequest) -> Response:
        """The page's origin must be an edge of this system by its configured names: a page of another site, or a name
        of another site that leads here, is none."""
        origin = request.headers.get("origin", "").lower()
        if origin not in self._origins or origin.partition("://")[2] != request.headers.get("host", "").lower():
            return text(403, "Only the first page of this system can request this.\n")
        body = await _body(request)
        try:
            wanted = msgspec.json.decode(body, type=SystemRequest)
        except msgspec.MsgspecError:
            return text(400, "The request must be JSON: kill or chat, and token.\n")
        if not (wanted.chat if request.path.endswith("way") else wanted.kill):
            return text(400, "The request must name a process, or a chat.\n")
        return await self._request(wanted)

    async def _request(self, wanted: SystemRequest) -> Response:
        try:
            state = await request_supervisor(self._supervisor_port, wanted)
        except NoSupervisor:
            return _json(503 if wanted.kill else 200, SystemView(self._name, supervised=False, processes=[]))
        error = _ERRORS.get(state.error, "")
        view = SystemView(self._name, True, state.processes, state.ready_seconds, error, state.dashboard, state.way)
        return _json(_STATUS[state.error], view)


async def _body(request: HttpRequest) -> bytes:
    """At most so much of the body that a longer one is no JSON. Raises ClientDisconnected."""
    body = b""
    async for data in request.body():
        body += data
        if len(body) > _BODY_BYTES:
            return b""
    return body


def _json(status: int, view: SystemView) -> Response:
    return Response(status, msgspec.json.encode(view), "application/json", {"Cache-Control": "no-store"})
