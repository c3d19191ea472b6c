"""Tests up to which index accounts have read, and which members have read a message, on both databases."""

import pytest

from services.message.service import chat_states
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.message import GetHistory
from shared.contract.model import Role, Text
from shared.contract.receipts import FindReaders, FindReadIndexes, Readers, ReadIndex
from shared.contract.session import Member
from shared.database import Database
from shared.settings.messages import MessageSettings
from tests.unit.services.message.service.test_mentions import AT_ANN, AT_BOB, CLEO, post
from tests.unit.services.message.service.test_queries import ANN, BOB, CEM, HALL, LOFT, ROOM, QueryHarness


@pytest.fixture
def harness(database: Database) -> QueryHarness:
    """A harness.

    Ann is a member from the first message on. Bob sees messages from the third one on, and the fifth is the first that
    may be unread for him.
    """
    return QueryHarness(database, MessageSettings())


async def test_read_indexes_of_members(harness: QueryHarness) -> None:
    """Bob joined at the fifth message, and no earlier one counts as unread.

    The list contains only members. A message that has only arrived is not read.
    """
    await post(harness, ROOM, CLEO, (AT_ANN,), *[(Text("hm"),)] * 3, (AT_BOB,), (Text("hm"),), (AT_ANN,))
    await harness.read(ANN, ROOM, 2)
    await harness.deliver(ANN, ROOM, (3, 3), (5, 7))
    await harness.read(BOB, ROOM, 5)
    members = [(BOB, ROOM), (ANN, ROOM), (ANN, HALL), (CLEO, ROOM), (ANN, LOFT)]
    found = await harness.queries.read_indexes(FindReadIndexes(members, counts=True))
    assert found.found == [
        ReadIndex(ANN, ROOM, 2, 5, 1), ReadIndex(ANN, HALL, 0), ReadIndex(BOB, ROOM, 5, 2),
    ]  # fmt: skip
    found = await harness.queries.read_indexes(FindReadIndexes(members))
    assert [(one.index, one.unread) for one in found.found] == [(2, 0), (0, 0), (5, 0)]
    assert (await harness.queries.read_indexes(FindReadIndexes([]))).found == []


async def test_what_is_left_after_a_read(harness: QueryHarness) -> None:
    """The read index in the reply comes from the stored state, but is at most the last index.

    The request does not mark messages as read.
    """
    await post(harness, ROOM, CLEO, (AT_ANN,), *[(Text("hm"),)] * 3, (AT_BOB,), (Text("hm"),), (AT_ANN,))
    await harness.read(ANN, ROOM, 2)
    await harness.deliver(ANN, ROOM, (3, 3), (5, 7))
    await harness.read(BOB, ROOM, 5)
    for account, index, unread, read in [
        (ANN, 5, (2, 1), 5), (ANN, 0, (5, 1), 2), (ANN, 2, (5, 1), 2), (ANN, 9, (0, 0), 7),
        (BOB, 6, (1, 0), 6), (BOB, 1, (2, 0), 5),
    ]:  # fmt: skip
        page = await harness.queries.history(GetHistory(ROOM, -1, 1, actor=account, read_to=index))
        assert (page.head, page.unread, page.read) == (7, unread, read)
        assert (await harness.queries.history(GetHistory(ROOM, -1, 1, actor=account))).unread is None


async def readers_of(harness: QueryHarness, index: int, after: int = 0, actor: AccountId = ANN) -> Readers:
    return await harness.queries.readers(FindReaders(ROOM, index, AccountId(after), actor))


async def test_readers_of_a_message(harness: QueryHarness) -> None:
    """The sender does not count as a reader.

    A member that joined later and has not read the message does not count either.
    """
    harness.members.append(Member(CEM, Role.MEMBER, 1, 3, 1))
    await post(harness, ROOM, CEM, *[(Text("hm"),)] * 6)
    assert await readers_of(harness, 3) == Readers(0, [])
    await harness.deliver(ANN, ROOM, (1, 6))
    assert await readers_of(harness, 3) == Readers(0, []), "it has only arrived"
    await harness.read(ANN, ROOM, 4)
    await harness.read(CEM, ROOM, 6)
    assert [(await readers_of(harness, index)).accounts for index in (1, 2, 3, 4, 5)] == [[ANN]] * 4 + [[]]
    await harness.read(BOB, ROOM, 6)
    assert await readers_of(harness, 3) == Readers(2, [ANN, BOB])
    assert await readers_of(harness, 3, after=ANN, actor=BOB) == Readers(2, [BOB])
    assert (await readers_of(harness, 5, actor=CEM)).accounts == [BOB]


async def test_readers_come_in_pages(harness: QueryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_states, "_PAGE", 2)
    harness.members = [Member(AccountId(number), Role.MEMBER, 1, number, 1) for number in range(1, 5)]
    await post(harness, ROOM, CLEO, (Text("hm"),))
    for number in range(1, 5):
        await harness.read(AccountId(number), ROOM, 1)
    assert await readers_of(harness, 1) == Readers(4, [ANN, BOB], more=True)
    assert await readers_of(harness, 1, after=2) == Readers(4, [CEM, AccountId(4)])


async def test_readers_of_what_may_not_be_seen(harness: QueryHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    await post(harness, ROOM, ANN, *[(Text("hm"),)] * 4)
    rejected: list[ErrorCode] = []
    for index, actor in ((3, CEM), (2, BOB), (5, ANN)):
        with pytest.raises(RequestError) as caught:
            await readers_of(harness, index, actor=actor)
        rejected.append(caught.value.failure.code)
    assert rejected == [ErrorCode.FORBIDDEN, ErrorCode.NOT_FOUND, ErrorCode.NOT_FOUND]
    monkeypatch.setattr(chat_states, "_MEMBERS", 1)
    with pytest.raises(RequestError) as caught:
        await readers_of(harness, 3)
    assert caught.value.failure.code == ErrorCode.LIMIT
