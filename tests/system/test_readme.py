"""Runs the README: its commands as printed and in their order, after the first page in a real browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.browser import CHROMIUM
from tests.support.cluster import Cluster
from tests.support.first_page import FirstPage, chromium, visitor
from tests.system.shown_blocks import ReaderShell, blocks

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium to open a page with")
SHOWN = {
    "printf": r"you are user ann\n",
    "curl": r'^\{"account":\d+,.*"nickname":"Dan"',
    "./dev": r"(?s)auth.*backed up to .*backup-1",
}
"""For the first word of each block, an expression for the block's output."""


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def test_what_it_shows_is_what_happens(tmp_path: Path, browser: Browser) -> None:
    up, *others = blocks("README.md", "sh", "js")
    assert up.text == "./dev up --edges 2\n"
    with Cluster(tmp_path / ".dragoman", directory=tmp_path) as system, visitor(browser) as page:
        reader = ReaderShell(tmp_path, system.edges)
        page.open(reader.own("http://127.0.0.1:8080/")).user("Bob").until_received("Hello, Bob!")
        for block in others:
            if block.language == "js":
                paste(page, block.text)
            else:
                shown = reader.run(block.text)
                assert re.search(SHOWN[block.text.split()[0]], shown), shown
    assert {block.language for block in others} == {"sh", "js"}


def paste(shown: FirstPage, program: str) -> None:
    """Runs the program in the console of the page."""
    with shown.page.expect_console_message(lambda line: "Hello from JavaScript" in line.text) as printed:
        shown.page.evaluate(f"async () => {{ {program} }}")
    assert re.fullmatch(r"chat \d+: Hello from JavaScript", printed.value.text)
