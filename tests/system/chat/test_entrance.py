"""Registration with a link in an e-mail, and a forgotten password. The mail server is real."""

import secrets
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.support.chat_page import PASSWORD, chat_user
from tests.support.cluster import RELAXED, Cluster
from tests.system.mail import Postbox, visit

pytestmark = pytest.mark.xdist_group("chat_offline")


def test_a_mailed_link_lets_the_page_go_on_and_a_forgotten_password_is_replaced(
    tmp_path: Path, chromium_browser: Browser
) -> None:
    address, password = f"ann{secrets.token_hex(4)}@dragoman.test", f"not {PASSWORD}"
    with Postbox() as postbox:
        with (
            Cluster(tmp_path / "data", *RELAXED, *postbox.flags()) as system,
            chat_user(chromium_browser, system.edges[0]) as ann,
        ):
            ann.open().page.get_by_role("button", name="Create account").click()
            ann.page.get_by_label("Name that others see").fill("Ann")
            ann.page.get_by_label("E-mail").fill(address)
            ann.page.get_by_label("Password").fill(PASSWORD)
            ann.page.locator("form").get_by_role("button", name="Create account").click()
            ann.page.get_by_text(f"Open the link in the mail that was sent to {address}.").wait_for()
            assert visit(postbox.link(address)) == 200
            ann.until_connected().log_out()
            before = len(postbox.mails)
            ann.page.get_by_role("button", name="Forgotten password").click()
            ann.page.get_by_label("User name, e-mail or number").fill(address)
            ann.page.get_by_role("button", name="Forgotten password").click()
            ann.page.get_by_label("Password").fill(password)
            ann.page.locator("input[name=ticket]").fill(postbox.ticket(address, before))
            ann.page.locator("form button").click()
            ann.until_connected().log_out()
            ann.sign_in(address, password)
