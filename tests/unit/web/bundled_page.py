"""A page of a real browser with one module of the web client, for tests of that module alone."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Page

from tests.support.browser import CHROMIUM
from tests.support.commands import ROOT
from tests.support.first_page import chromium

_ESBUILD = ROOT / "node_modules" / ".bin" / "esbuild"

needs_browser = [
    pytest.mark.skipif(not _ESBUILD.exists(), reason="the packages are not installed: ./dev setup"),
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium for the page"),
]


@contextmanager
def page_with(module: str, name: str, script: str = "") -> Iterator[Page]:
    """Opens a page in which `name` is the module at `web/src/MODULE`. Then `script` runs."""
    command = [str(_ESBUILD), f"web/src/{module}", "--bundle", "--format=iife", f"--global-name={name}"]
    bundle = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    with chromium() as browser, browser.new_page() as opened:
        opened.route("**/*", lambda route: route.fulfill(content_type="text/html", body=""))
        opened.goto("http://localhost/")
        opened.add_script_tag(content=bundle + script)
        yield opened
