"""Users report messages to the operator, on both databases."""

import asyncio
from functools import partial

import pytest

from services.session.store import moderation
from shared.contract.admin import OwnReport, Report, ReportMessage
from shared.contract.errors import ErrorCode
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.model import Message
from shared.settings.limits import LimitsSettings
from tests.unit.services.session.store_harness import ANN, BOB, CEM, NOW, StoreHarness, rejection

CHAT = ChatId(7)


async def report(store: StoreHarness, reporter: AccountId, index: int, reason: str = "spam", *, most: int = 9) -> bool:
    request = ReportMessage(CHAT, index, reason, actor=reporter)
    message = Message(CHAT, index, MessageId(100 + index), CEM, NOW - 1, b"body", Nonce(index))
    limits = LimitsSettings(reports_per_account=most)
    return await store.database.write(
        partial(moderation.store_report, request=request, message=message, limits=limits, now=NOW)
    )


async def listed(store: StoreHarness, after: int = 0, count: int = 10) -> list[Report]:
    return await store.database.read(partial(moderation.list_open_reports, after=after, count=count))


async def own(store: StoreHarness, reporter: AccountId) -> list[OwnReport]:
    return await store.database.read(partial(moderation.list_reports_of, reporter=reporter))


async def close(store: StoreHarness, number: int) -> None:
    await store.database.write(partial(moderation.close_report, number=number))


async def test_a_report_keeps_the_message_and_the_first_reason(populated: StoreHarness) -> None:
    assert [await report(populated, ANN, 3), await report(populated, ANN, 3, "worse")] == [True, False]
    (found,) = await listed(populated)
    assert found == Report(
        number=found.number, chat=CHAT, index=3, sender=CEM, sent=NOW - 1, body=b"body", reporter=ANN, reason="spam",
        reported=NOW,
    )  # fmt: skip
    assert await own(populated, ANN) == [OwnReport(CHAT, 3, "spam", NOW)]


async def test_each_account_reports_for_itself(populated: StoreHarness) -> None:
    assert [await report(populated, one, 3) for one in (ANN, BOB)] == [True, True]
    assert [one.reporter for one in await listed(populated)] == [ANN, BOB]
    assert len(await own(populated, BOB)) == 1


async def test_reports_come_in_pages_and_numbers_are_never_reused(populated: StoreHarness) -> None:
    for index in (1, 2, 3):
        await report(populated, ANN, index)
    first, second = await listed(populated, count=2)
    (last,) = await listed(populated, after=second.number)
    assert [first.index, second.index, last.index] == [1, 2, 3]
    await close(populated, last.number)
    await report(populated, ANN, 4)
    assert (await listed(populated))[-1].number > last.number


async def test_closing_makes_room(populated: StoreHarness) -> None:
    for index in (1, 2):
        await report(populated, ANN, index, most=2)
    failure = await rejection(report(populated, ANN, 3, most=2))
    assert (failure.code, failure.text) == (ErrorCode.LIMIT, "at most 2 reports may be open")
    assert not await report(populated, ANN, 2, most=2)
    await report(populated, BOB, 3, most=2)
    await close(populated, (await listed(populated))[0].number)
    assert await report(populated, ANN, 3, most=2)


@pytest.mark.parametrize("number", [0, 99])
async def test_an_unknown_report_is_not_closed(populated: StoreHarness, number: int) -> None:
    assert (await rejection(close(populated, number))).code is ErrorCode.NOT_FOUND


async def test_a_deleted_account_has_reported_nothing(populated: StoreHarness) -> None:
    """The reports of a deleted account are removed. Reports about the account stay, and so do its messages."""
    await report(populated, ANN, 1)
    await report(populated, BOB, 1)
    for account in (ANN, CEM):
        await populated.remove_data(account)
    assert [one.reporter for one in await listed(populated)] == [BOB]


async def test_reports_at_once_stay_within_the_limit(populated: StoreHarness) -> None:
    reporting = (report(populated, ANN, index, most=3) for index in range(12))
    stored = [one for one in await asyncio.gather(*reporting, return_exceptions=True) if one is True]
    assert len(stored) == len(await own(populated, ANN)) == 3
