"""Merged replies of several databases: the order of one, nothing left out between pages."""

from services.message.domain import chat_size
from services.message.service.merging import merge_syncs, merge_unread
from shared.contract.ids import AccountId, ChatId, MessageId, Nonce
from shared.contract.message import ChatSync, Synced, SyncedPart, Unread
from shared.contract.model import Message
from shared.contract.session import ChatEntry, ChatList

ANN, BOB = AccountId(1), AccountId(2)
PLENTY = 100_000


def chat_list(*chats: int, more: bool = False) -> ChatList:
    return ChatList([ChatEntry(ChatId(chat), 1, 1) for chat in chats], more)


def page(*chats: int, more: bool = False) -> Synced:
    return Synced([ChatSync(ChatId(chat), 1, 0, 1, 1, [], []) for chat in chats], more)


def part(**pages: Synced) -> SyncedPart:
    return SyncedPart({{"ann": ANN, "bob": BOB}[name]: one for name, one in pages.items()})


def placed(**chats: list[int]) -> dict[str, set[ChatId]]:
    return {name: {ChatId(chat) for chat in own} for name, own in chats.items()}


def chats_of(synced: Synced) -> list[int]:
    return [one.chat for one in synced.chats]


def message(chat: int, time: int, number: int, size: int = 1) -> Message:
    return Message(ChatId(chat), 1, MessageId(number), ANN, time, b"x" * size, Nonce(1))


class TestSyncs:
    def test_chats_are_in_order(self) -> None:
        merged = merge_syncs(
            {ANN: chat_list(1, 2, 3, 4)},
            placed(a=[1, 4], b=[2, 3]),
            {"a": part(ann=page(1, 4)), "b": part(ann=page(2, 3))},
            PLENTY,
        )
        assert (chats_of(merged[ANN]), merged[ANN].more, merged[ANN].away) == ([1, 2, 3, 4], False, {})

    def test_no_chat_follows_one_that_was_left_out(self) -> None:
        merged = merge_syncs(
            {ANN: chat_list(1, 2, 3, 4, 5)},
            placed(a=[1, 3, 5], b=[2, 4]),
            {"a": part(ann=page(1, more=True)), "b": part(ann=page(2, 4))},
            PLENTY,
        )
        assert (chats_of(merged[ANN]), merged[ANN].more, merged[ANN].last_chat) == ([1], True, 1)

    def test_a_database_that_is_away_is_named_by_its_chats(self) -> None:
        merged = merge_syncs(
            {ANN: chat_list(1, 2, 3, 4)}, placed(a=[1, 4], b=[2, 3]), {"a": part(ann=page(1, 4)), "b": None}, PLENTY
        )
        assert (chats_of(merged[ANN]), merged[ANN].away, merged[ANN].more) == ([1, 4], {2: None, 3: None}, False)

    def test_chats_that_are_away_count_for_the_next_page(self) -> None:
        """Also if there are no others."""
        lists = {ANN: chat_list(1, 2, more=True)}
        merged = merge_syncs(lists, placed(a=[], b=[1, 2]), {"a": part(), "b": None}, PLENTY)
        assert (chats_of(merged[ANN]), merged[ANN].last_chat, merged[ANN].more) == ([], 2, True)
        merged = merge_syncs(
            {ANN: chat_list(1, 2, 3)}, placed(a=[1, 3], b=[2]), {"a": part(ann=page(1, more=True)), "b": None}, PLENTY
        )
        assert (chats_of(merged[ANN]), merged[ANN].away, merged[ANN].more) == ([1], {}, True)

    def test_the_size_is_that_of_one_reply(self) -> None:
        merged = merge_syncs(
            {ANN: chat_list(1, 2, 3), BOB: chat_list(1)},
            placed(a=[1, 3], b=[2]),
            {"a": part(ann=page(1, 3), bob=page(1)), "b": part(ann=page(2))},
            2 * chat_size(0),
        )
        assert (chats_of(merged[ANN]), merged[ANN].more) == ([1, 2], True)
        assert list(merged) == [ANN]

    def test_an_account_needs_every_part(self) -> None:
        lists = {ANN: chat_list(1, 2), BOB: chat_list(1, 2)}
        parts: dict[str, SyncedPart | None] = {
            "a": part(ann=page(1), bob=page(1)),
            "b": part(ann=page(2)),
        }
        assert list(merge_syncs(lists, placed(a=[1], b=[2]), parts, PLENTY)) == [ANN]

    def test_an_account_without_chats_has_an_empty_page(self) -> None:
        assert merge_syncs({ANN: chat_list()}, {}, {}, PLENTY) == {ANN: Synced([])}


class TestUnread:
    def test_messages_are_in_order_of_time(self) -> None:
        first, second, third = message(1, 10, 1), message(2, 20, 2), message(3, 20, 3)
        merged = merge_unread([Unread(2, [second, third]), Unread(1, [first])], 2, PLENTY)
        assert (merged.total, merged.messages) == (3, [first, second])

    def test_none_is_newer_than_one_that_was_left_out(self) -> None:
        """The first part was full before its third message."""
        parts = [Unread(3, [message(1, 10, 1), message(1, 20, 2)]), Unread(2, [message(2, 15, 3), message(2, 30, 4)])]
        assert [one.id for one in merge_unread(parts, 5, PLENTY).messages] == [1, 3, 2]

    def test_the_size_is_that_of_one_reply(self) -> None:
        parts = [Unread(1, [message(1, 10, 1, 600)]), Unread(1, [message(2, 15, 3, 600)])]
        assert [one.id for one in merge_unread(parts, 5, 1_000).messages] == [1]

    def test_without_chats_nothing_is_unread(self) -> None:
        assert merge_unread([], 5, PLENTY) == Unread(0, [])
