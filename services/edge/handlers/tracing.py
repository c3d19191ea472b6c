"""What clients ask, each as a trace that begins here."""

from typing import TYPE_CHECKING

from services.edge.canonical.replies import Reply
from services.edge.client.client import Client, RequestHandler
from services.edge.dialects.base import Request
from shared.telemetry import trace

if TYPE_CHECKING:
    from shared.tracing import Span, Tracer


class TracedHandler:
    """Has another one perform, and sees how long it takes. See services.edge.client.client.RequestHandler."""

    def __init__(self, performs: RequestHandler, tracer: "Tracer") -> None:
        self._performs = performs
        self._tracer = tracer

    async def handle(self, client: Client, request: Request) -> Reply:
        with self._begin(client, request):
            return await self._performs.handle(client, request)

    async def resolve(self, client: Client, run: list[Request]) -> list[Request]:
        with self._begin(client, run[0]):
            return await self._performs.resolve(client, run)

    def after_login(self, client: Client) -> None:
        self._performs.after_login(client)

    def _begin(self, client: Client, request: Request) -> "Span":
        name = type(request.command).__name__
        return self._tracer.begin(name, {"dialect": client.dialect.name}, trace_id=trace.get())
