"""Moderation of groups by their owner and admins: bans, silences, and the end of a group."""

from services.session import domain, list_limits
from services.session.metrics import SessionMetrics
from services.session.service.memberships import notifications_of
from services.session.service.message_reader import MessageReader
from services.session.service.ports import ChangeNotifier, Notification
from services.session.store import moderation
from services.session.store.moderation import BannedMember, DisbandedChat
from services.session.store.requests import once
from shared.clock import now_ms
from shared.contract.admin import CloseReport, ListOwnReports, ListReports, OwnReports, ReportMessage, ReportPage
from shared.contract.body import requested_content
from shared.contract.edge import MembershipChanged
from shared.contract.errors import ErrorCode, Reason, RequestError
from shared.contract.ids import NO_ACCOUNT
from shared.contract.members import BanList, BanMember, DisbandChat, ListBans, SilenceMember, UnbanMember
from shared.contract.model import Message, Role
from shared.contract.routes import Ack
from shared.contract.session import ChatVersion
from shared.settings import Settings
from shared.settings.limits import GroupLimits
from shared.telemetry import log
from shared.transactions import Transactions

_log = log(__name__)
_PAGE_BYTES = 224 * 1024
_PAGE = 100


class Reports:
    """Messages that users report to the operator. A report stores the message as it is when it is reported. The
    operator lists and closes reports."""

    def __init__(
        self, database: Transactions, messages: MessageReader, metrics: SessionMetrics, limits: GroupLimits
    ) -> None:
        self._database = database
        self._messages = messages
        self._metrics = metrics
        self._limits = limits

    async def report(self, request: ReportMessage) -> Ack:
        domain.check_reason(request.reason)
        message = await self._message(request)
        if await self._database.write(moderation.store_report, request, message, self._limits, now_ms()):
            self._metrics.reports.inc()
        return Ack()

    async def _message(self, request: ReportMessage) -> Message:
        """Get the message from the message service, which checks that the actor may see it."""
        found = await self._messages.read(request.chat, request.index, 1, request.actor)
        message = requested_content(found, request.index)
        if message.sender == request.actor:
            raise RequestError(ErrorCode.INVALID, "this message is your own", "index", reason=Reason.CHOICE)
        return message

    async def list_own(self, request: ListOwnReports) -> OwnReports:
        return OwnReports(await self._database.read(moderation.list_reports_of, request.actor))

    async def list_open(self, request: ListReports) -> ReportPage:
        page = await self._database.read(moderation.list_open_reports, request.after, _PAGE + 1)
        fitting = list_limits.take_fitting(page[:_PAGE], _PAGE_BYTES) or page[:1]
        return ReportPage([*fitting], more=len(fitting) < len(page))

    async def close(self, request: CloseReport) -> Ack:
        await self._database.write(once(moderation.close_report, type(None)), request.number)
        _log.info("operator acts", act="close report", by="admin", report=request.number)
        return Ack()


class Moderation:
    """Bans and silences members, and disbands groups. Messages that a removed or silenced member posts after the reply
    are rejected."""

    def __init__(self, database: Transactions, notifier: ChangeNotifier, settings: Settings) -> None:
        self._database = database
        self._notifier = notifier
        self._limits = settings.limits
        self._broadcast_members = settings.message.broadcast_members

    async def ban_member(self, request: BanMember) -> ChatVersion:
        domain.check_peer(request.actor, request.account)
        domain.check_end("until", request.until, now_ms())
        version, left = await self._database.write(
            once(moderation.ban_member, BannedMember), request, self._limits, now_ms(), self._broadcast_members
        )
        notifications = [] if left is None else notifications_of(request.account, left, request.actor)
        await self._notifier.publish({request.chat: version}, notifications)
        return ChatVersion(version)

    async def unban_member(self, request: UnbanMember) -> ChatVersion:
        domain.check_peer(request.actor, request.account)
        version = await self._database.write(moderation.unban_member, request, now_ms())
        await self._notifier.publish({request.chat: version})
        return ChatVersion(version)

    async def list_bans(self, request: ListBans) -> BanList:
        return await self._database.read(moderation.list_bans, request, now_ms())

    async def silence_member(self, request: SilenceMember) -> ChatVersion:
        if request.account != NO_ACCOUNT:
            domain.check_peer(request.actor, request.account)
        domain.check_end("until", request.until, now_ms())
        version = await self._database.write(once(moderation.silence_member, int), request, self._limits, now_ms())
        await self._notifier.publish({request.chat: version})
        return ChatVersion(version)

    async def disband_chat(self, request: DisbandChat) -> ChatVersion:
        version, former_members, rejected = await self._database.write(
            once(moderation.disband, DisbandedChat), request, now_ms(), self._broadcast_members
        )
        notifications = [
            Notification(
                MembershipChanged(request.chat, member, Role.LEFT, 0, version, by=request.actor, disbanded=True),
                [member],
            )
            for member in former_members
        ]
        notifications += [Notification(answer, [answer.account]) for answer in rejected]
        await self._notifier.publish({request.chat: version}, notifications)
        return ChatVersion(version)
