"""Tests in a browser what the web client stores."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.unit.web.bundled_page import needs_browser, page_with

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page with the module of the store."""
    with page_with("storage/store.ts", "Storage") as opened:
        yield opened


def test_what_ends_a_chat_ends_a_place_that_is_not_stored_yet(page: Page) -> None:
    ends = [{"ev": "gone", "chat": 1}, {"ev": "reset"}]
    script = """(ends) => Promise.all(ends.map(async (end, account) => {
      const store = new Storage.AccountStore();
      await store.open(account);
      store.move({ chat: 1, at: [3, 4, 5] });
      store.keep(end);
      store.move({ chat: 2, at: [6, 7, 8] });
      await store.flushed();
      return store.places();
    }))"""
    assert page.evaluate(script, ends) == [[{"chat": 2, "at": [6, 7, 8]}]] * 2


def test_messages_are_stored_for_30_days_and_the_newest_of_a_chat_and_unsent_ones_for_longer(page: Page) -> None:
    """Chats 1 to 4 have no old message, only old ones, some of both, and one old one. An old page is loaded again."""
    script = """async () => {
      const [day, now] = [86_400_000, 1_800_000_000_000];
      const store = new Storage.AccountStore();
      await store.open(100);
      const keep = (chat, ...ages) => store.keep({
        ev: "page",
        chat,
        messages: ages.map((age, at) => ({ chat, index: at + 1, sender: 1, time: now - age * day, segments: [] })),
      });
      const left = async () => {
        await store.flushed();
        const found = [];
        for (const chat of [1, 2, 3, 4]) found.push((await store.newest(chat)).map(({ index }) => index));
        return found;
      };
      keep(1, 29, 1);
      keep(2, 90, 60, 31);
      keep(3, 90, 31, 29.9, 1);
      keep(4, 365);
      store.keep({ ev: "outgoing", entry: { nonce: "n", chat: 3, at: now - 90 * day, segments: [] } });
      store.prune(now);
      const result = [await left()];
      keep(2, 90, 60, 31);
      store.prune(now + 0.9 * day);
      result.push(await left());
      store.prune(now + 1.1 * day);
      result.push(await left());
      return [result, (await store.outbox()).map(({ nonce }) => nonce)];
    }"""
    pruned = [[1, 2], [3], [3, 4], [1]]
    a_day_later = [[2], [3], [4], [1]]
    assert page.evaluate(script) == [[pruned, [[1, 2], [1, 2, 3], [3, 4], [1]], a_day_later], ["n"]]


def test_old_messages_of_a_chat_are_removed_at_once_and_unread_ones_stay(page: Page) -> None:
    """Each chat has 40 messages, 35 of them older than 30 days. The user has read 12 of chat 2, and has marked message
    8 of chat 3 as unread. A clock that was wrong has named a later time than now."""
    script = """async () => {
      const [day, now] = [86_400_000, 1_800_000_000_000];
      const store = new Storage.AccountStore();
      await store.open(101);
      for (const chat of [1, 2, 3])
        store.keep({ ev: "page", chat, messages: Array.from({ length: 40 }, (_, at) => (
          { chat, index: at + 1, sender: 1, time: now - (65.5 - at) * day, segments: [] })) });
      store.write((transaction) => {
        transaction.objectStore("facts").put(now + 900 * day, "pruned");
        transaction.objectStore("heads").put({ chat: 2, read: 12 });
        transaction.objectStore("heads").put({ chat: 3, read: 40, unread_from: 8 });
      });
      await store.flushed();
      const remove = IDBObjectStore.prototype.delete;
      let removals = 0;
      IDBObjectStore.prototype.delete = function (key) { removals += 1; return remove.call(this, key); };
      store.prune(now);
      await store.flushed();
      IDBObjectStore.prototype.delete = remove;
      const first = async (chat) => (await store.newest(chat))[0].index;
      return [await first(1), await first(2), await first(3), removals, await store.fact("pruned") === now];
    }"""
    assert page.evaluate(script) == [37, 13, 8, 3, True]
