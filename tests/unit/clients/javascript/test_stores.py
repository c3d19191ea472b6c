"""The stores of dragoman.js in a real browser, in tabs that share a store."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.support.browser import CHROMIUM
from tests.support.first_page import chromium
from tests.support.http_server import QuietHandler, serving
from tests.unit.clients.javascript.test_modules import MODULE

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to open a page with")

STORES = ("webStore(localStorage)", "indexedStore('dragoman')", "memoryStore()")
SHARED = STORES[1]
"""IndexedDB, which tabs can share, because it has transactions between tabs.

In Chromium, a tab sees other tabs' writes to localStorage late.
"""
OPEN = """async () => {
  Object.assign(globalThis, await import("/dragoman.js"));
}"""
USED = """async (store) => {
  const one = eval(store);
  await one.change(["a/1", "a/2", "b"], () => [{ n: 1 }, { n: 2 }, { n: 3 }]);
  await one.change(["a/1", "a/2", "c"], ([first, second, none]) => {
    if (none !== undefined) throw new Error("c is there");
    return [undefined, { n: second.n + first.n }, undefined];
  });
  const keys = [...(await one.read("")).keys()].sort();
  return [Object.fromEntries(await one.read("a/")), keys, await one.alone(async () => 5)];
}"""
COUNT = """async ([store, times]) => {
  const one = eval(store);
  for (let turn = 0; turn < times; turn += 1) {
    await one.change(["count"], ([old]) => [{ n: (old?.n ?? 0) + 1 }]);
  }
  return (await one.read("count")).get("count").n;
}"""
ALONE = """async (store) => {
  const one = eval(store);
  const read = async () => (await one.read("last")).get("last")?.n ?? 0;
  const once = async () => {
    const before = await read();
    await new Promise((resolve) => { setTimeout(resolve, 5); });
    await one.change(["last"], () => [{ n: before + 1 }]);
  };
  for (let turn = 0; turn < 10; turn += 1) await one.alone(once);
  return read();
}"""


class Handler(QuietHandler):
    def do_GET(self) -> None:
        if self.path == "/dragoman.js":
            self.respond(200, MODULE.read_bytes(), {"Content-Type": "text/javascript"})
        else:
            self.respond(200, b"<!doctype html>", {"Content-Type": "text/html"})


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with chromium() as browser:
        yield browser.new_context()


@pytest.fixture(scope="module")
def tabs(context: BrowserContext) -> Iterator[tuple[Page, Page]]:
    with serving(Handler) as address:
        one, other = context.new_page(), context.new_page()
        for page in (one, other):
            page.goto(address)
            page.evaluate(OPEN)
        yield one, other


@pytest.mark.parametrize("store", STORES)
def test_stores_behave_alike(tabs: tuple[Page, Page], store: str) -> None:
    assert tabs[0].evaluate(USED, store) == [{"a/2": {"n": 3}}, ["a/2", "b"], 5]


def test_a_transaction_of_indexed_db_excludes_those_of_other_tabs(tabs: tuple[Page, Page]) -> None:
    """Each of two tabs counts in the store at the same time."""
    one, other = tabs
    one.evaluate("(argument) => { globalThis.counted = (" + COUNT + ")(argument); }", [SHARED, 300])
    other.evaluate(COUNT, [SHARED, 300])
    one.evaluate("counted")
    assert one.evaluate(COUNT, [SHARED, 1]) == 601


def test_work_alone_excludes_that_of_other_tabs(tabs: tuple[Page, Page]) -> None:
    one, other = tabs
    one.evaluate("(store) => { globalThis.done = (" + ALONE + ")(store); }", SHARED)
    other.evaluate(ALONE, SHARED)
    one.evaluate("done")
    assert one.evaluate("async (store) => (await eval(store).read('last')).get('last').n", SHARED) == 20


def test_a_tab_that_opens_a_newer_database_gets_it(tabs: tuple[Page, Page]) -> None:
    """A tab closes its connection to the database when another tab upgrades or deletes the database.

    It continues to work.
    """
    one, other = tabs
    one.evaluate(COUNT, [SHARED, 1])
    upgraded = """() => new Promise((resolve, reject) => {
      const request = indexedDB.deleteDatabase("dragoman");
      request.onsuccess = resolve;
      request.onblocked = () => reject(new Error("another tab is in the way"));
    }).then(() => "done")"""
    assert other.evaluate(upgraded) == "done"
    assert one.evaluate(COUNT, [SHARED, 1]) == 1
