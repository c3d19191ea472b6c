"""Reports to the operator: a user stores the message as it is now; the operator lists and closes."""

from services.session import domain
from services.session.metrics import SessionMetrics
from services.session.service.message_reader import MessageReader
from services.session.store import reports
from shared.clock import now_ms
from shared.contract.admin import CloseReport, ListOwnReports, ListReports, OwnReports, ReportMessage, ReportPage
from shared.contract.body import requested_content
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Message
from shared.contract.routes import Ack
from shared.settings.limits import GroupLimits
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)
_PAGE_BYTES = 224 * 1024
_PAGE = 100


class Reports:
    def __init__(
        self, database: Transactions, messages: MessageReader, metrics: SessionMetrics, limits: GroupLimits
    ) -> None:
        self._database = database
        self._messages = messages
        self._metrics = metrics
        self._limits = limits

    async def report(self, request: ReportMessage) -> Ack:
        domain.check_in_chat(request)
        domain.check_reason(request.reason)
        message = await self._message(request)
        if await self._database.write(reports.store, request, message, self._limits, now_ms()):
            self._metrics.reports.inc()
        return Ack()

    async def _message(self, request: ReportMessage) -> Message:
        """The message service checks that the actor may see it."""
        found = await self._messages.read(request.chat, request.index, 1, request.actor)
        message = requested_content(found, request.index)
        if message.sender == request.actor:
            raise RequestError(ErrorCode.INVALID, "that is your own message", "index")
        return message

    async def list_own(self, request: ListOwnReports) -> OwnReports:
        domain.check_actor(request.actor)
        return OwnReports(await self._database.read(reports.list_of_account, request.actor))

    async def list_open(self, request: ListReports) -> ReportPage:
        page = await self._database.read(reports.list_open, request.after, _PAGE + 1)
        fitting = domain.take_fitting(page[:_PAGE], _PAGE_BYTES) or page[:1]
        return ReportPage([*fitting], more=len(fitting) < len(page))

    async def close(self, request: CloseReport) -> Ack:
        await self._database.write(reports.close, request.number)
        _log.info("operator acts", act="close report", by="admin", report=request.number)
        return Ack()
