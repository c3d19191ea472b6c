"""What clients ask, each as a trace that begins here."""

from typing import TYPE_CHECKING

from services.edge.canonical.replies import Answer
from services.edge.client.client import Client, Performs
from services.edge.dialects.base import Request
from shared.telemetry import trace

if TYPE_CHECKING:
    from shared.tracing import Span, Tracer


class Traced:
    """Has another one perform, and sees how long it takes. See services.edge.client.client.Performs."""

    def __init__(self, performs: Performs, tracer: "Tracer") -> None:
        self._performs = performs
        self._tracer = tracer

    async def perform(self, client: Client, request: Request) -> Answer:
        with self._begin(client, request):
            return await self._performs.perform(client, request)

    async def resolve(self, client: Client, run: list[Request]) -> list[Request]:
        with self._begin(client, run[0]):
            return await self._performs.resolve(client, run)

    def welcome(self, client: Client) -> None:
        self._performs.welcome(client)

    def _begin(self, client: Client, request: Request) -> "Span":
        name = type(request.command).__name__
        return self._tracer.begin(name, {"dialect": client.dialect.name}, trace_id=trace.get())
