"""The operator lists reports in pages, with the reported messages, and closes reports.

The audit trail contains both acts.
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from shared.bus.client import Bus
from shared.contract.admin import CloseReport, ListReports, Report, ReportPage
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId, ChatId
from shared.contract.model import Emoji, Text
from shared.contract.routes import Ack
from tests.support.servers import NatsServer
from tests.unit.services.cli.admin.recording_auth import RecordingTrail
from tests.unit.services.cli.admin.test_command import admin
from tests.unit.services.cli.installed import installed


def report(number: int, reason: str) -> Report:
    return Report(
        number=number, chat=ChatId(5), index=number, sender=AccountId(34), sent=1_795_262_400_000,
        body=pack_segments((Text("cheap\nwatches"), Emoji(7))), reporter=AccountId(12), reason=reason,
        reported=1_795_262_401_000,
    )  # fmt: skip


class FakeReports:
    """A fake of session's reports, with one report on each page."""

    def __init__(self, server: NatsServer) -> None:
        self.buses = [Bus(server.settings(name), name, CollectorRegistry()) for name in ("auth", "session")]
        auth, session = self.buses
        self.trail = RecordingTrail(auth)
        session.serve(ListReports.route, self._list)
        session.serve(CloseReport.route, self._close)
        self.open = {one: report(one, "spam") for one in (1, 2)}

    async def _list(self, request: ListReports) -> ReportPage:
        found = [one for one in self.open.values() if one.number > request.after]
        return ReportPage(found[:1], len(found) > 1)

    async def _close(self, request: CloseReport) -> Ack:
        if self.open.pop(request.number, None) is None:
            raise RequestError(ErrorCode.NOT_FOUND, f"there is no report {request.number}", "number")
        return Ack()


@pytest.fixture
async def session(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[FakeReports]:
    services = FakeReports(nats_server)
    async with installed(nats_server, tmp_path, *services.buses):
        yield services


async def test_all_pages_are_listed_with_the_messages(session: FakeReports, tmp_path: Path) -> None:
    first, second = (await admin(tmp_path, "report", "list")).output.strip().split("\n\n")
    assert first.splitlines() == [
        "report    1",
        "reported  2026-11-21 12:00:01 UTC by 0000000012",
        "reason    spam",
        "message   5/1",
        "sent      2026-11-21 12:00:00 UTC by 0000000034",
        "text      cheap\N{REPLACEMENT CHARACTER}watches",
        "emoji     7",
    ]
    assert second.startswith("report    2\n")
    listed = json.loads((await admin(tmp_path, "report", "list", "--json")).output)
    assert [(one["number"], one["content"][0]) for one in listed] == [
        (1, {"text": "cheap\nwatches"}), (2, {"text": "cheap\nwatches"})
    ]  # fmt: skip
    assert [act.act for act in session.trail.acts] == ["list reports"] * 2


async def test_a_report_is_closed_once(session: FakeReports, tmp_path: Path) -> None:
    assert (await admin(tmp_path, "report", "close", "2", "--yes")).output == "the report 2 is closed\n"
    again = await admin(tmp_path, "report", "close", "2", "--yes")
    assert (again.exit_code, "Error: there is no report 2. Find the right name by this command" in again.output) == (
        1,
        True,
    )
    assert list(session.open) == [1]
    assert [(act.act, act.detail) for act in session.trail.acts] == [("close report", "2")] * 2
    await admin(tmp_path, "report", "close", "1", "--yes")
    assert (await admin(tmp_path, "report", "list")).output == "there are no reports\n"
    assert (await admin(tmp_path, "report", "close", "0", "--yes")).exit_code == 2
