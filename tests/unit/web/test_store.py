"""Tests in a browser what the web client stores."""

import subprocess

import pytest

from tests.support.browser import CHROMIUM
from tests.support.commands import ROOT
from tests.support.first_page import chromium

_ESBUILD = ROOT / "node_modules" / ".bin" / "esbuild"

pytestmark = [
    pytest.mark.skipif(not _ESBUILD.exists(), reason="the packages are not installed: ./dev setup"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to store anything in"),
]


def test_what_ends_a_chat_ends_a_place_that_is_not_stored_yet() -> None:
    command = [str(_ESBUILD), "web/src/storage/store.ts", "--bundle", "--format=iife", "--global-name=Storage"]
    store = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    with chromium() as browser, browser.new_page() as page:
        page.route("**/*", lambda route: route.fulfill(content_type="text/html", body=""))
        page.goto("http://localhost/")
        page.add_script_tag(content=store)
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
        stored = page.evaluate(script, ends)
    assert stored == [[{"chat": 2, "at": [6, 7, 8]}]] * 2
