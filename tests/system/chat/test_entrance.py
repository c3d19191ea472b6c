"""Registration with a link in an e-mail, a forgotten password, and visitors of the first page.

The mail server is real.
"""

import json
import secrets
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Request, WebSocket

from tests.support.chat_page import PASSWORD, chat_user
from tests.support.cluster import RELAXED, Cluster
from tests.system.mail import Postbox, visit

pytestmark = pytest.mark.xdist_group("chat_offline")

_IN_TURN = {"chat", "join", "login", "open", "refresh", "register", "token"}
"""Commands that wait for each other. Each connection also sends `sync`, which waits for no other command."""


def test_a_mailed_link_lets_the_page_go_on_and_a_forgotten_password_is_replaced(
    tmp_path: Path, chromium_browser: Browser
) -> None:
    address, password = f"ann{secrets.token_hex(4)}@dragoman.test", f"not {PASSWORD}"
    with Postbox() as postbox:
        with (
            Cluster(tmp_path / "data", *RELAXED, *postbox.flags()) as system,
            chat_user(chromium_browser, system.edges[0], service_workers="allow") as ann,
        ):
            ann.open()
            for written in (f"wrong-{address}", address):
                ann.page.get_by_role("button", name="Create account").click()
                ann.page.get_by_label("Name that others see").fill("Ann")
                ann.page.get_by_label("E-mail").fill(written)
                ann.page.get_by_label("Password").fill(PASSWORD)
                ann.page.locator("form").get_by_role("button", name="Create account").click()
                ann.page.get_by_text(f"Open the link in the mail that was sent to {written}.").wait_for()
                if written != address:
                    ann.page.get_by_role("button", name="Sign in").click()
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


def test_the_first_page_leads_a_visitor_into_its_conversation(system: Cluster, chromium_browser: Browser) -> None:
    """No command, connection or script more delays the visitor: `speed` measures the time."""
    with chat_user(chromium_browser, system.edges[0], service_workers="allow") as page:
        page.page.goto(system.first_page)
        page.page.locator("person-pane .log li").nth(3).wait_for()
        sockets, commands, scripts = list[str](), list[str](), list[str]()

        def connected(socket: WebSocket) -> None:
            sockets.append(socket.url)
            socket.on("framesent", lambda frame: commands.append(json.loads(frame)["op"]))

        def requested(request: Request) -> None:
            if request.resource_type == "script":
                scripts.append(request.url)

        page.page.on("websocket", connected)
        page.page.on("request", requested)
        page.page.get_by_role("link", name="Open the chat").click()
        page.field.wait_for()
        assert (len(sockets), len(scripts)) == (2, 1)
        assert sorted(op for op in commands if op in _IN_TURN) == ["join", "register", "token"]
        page.until_received("Hi, Ann! Which protocol is this?")
        page.send("Native is nice, too.")
        page.until_sent("Native is nice, too.")
        account = page.account()
        page.page.remove_listener("websocket", connected)
        page.page.goto(system.first_page)
        page.page.locator("person-pane .log li").nth(3).wait_for()
        page.page.get_by_role("link", name="Open the chat").click()
        page.until_connected()
        assert page.account() == account, "who is signed in stays signed in"


def test_no_link_makes_an_account(system: Cluster, chromium_browser: Browser) -> None:
    with chat_user(chromium_browser, system.edges[0], service_workers="allow") as page:
        registered = list[str]()

        def sent(frame: str | bytes) -> None:
            if (command := json.loads(frame))["op"] == "register":
                registered.append(command["nickname"])

        page.page.on("websocket", lambda socket: socket.on("framesent", sent))
        page.open("#visit=1").register("Ann", f"ann{secrets.token_hex(4)}")
        assert registered == ["Ann"]
