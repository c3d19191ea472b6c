"""Measures the speed of the web client in a browser on this machine: `python -m tests.system.chat.speed [CHATS]
[MESSAGES]`.

It prints these times in milliseconds:

- from a click on *Open the chat* of the first page to a field for writing, which takes at most two seconds
- to the first paint and to a usable list, with and without stored data
- from Enter to the tick
- from a key to the next frame on the screen, at rest and while messages arrive
- of frames while 10,000 messages are scrolled, and of a page at rest

It also prints the number of rows, the heap, and the CPU time of an idle minute.
"""

import asyncio
import json
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from playwright.sync_api import Browser, CDPSession, sync_playwright
from websockets.asyncio.client import connect

from tests.support.browser import WHOLE_CHROMIUM
from tests.support.chat_page import ChatPage, chat_user
from tests.support.cluster import RELAXED, Cluster
from tests.support.first_page import launched
from tests.system.chat.conftest import Bob
from tests.system.chat.long_account import LongAccount

_MANY = ("--set", "limits.chats_per_account=10000")
_OPENINGS = 3
_MOST_VISIT_MS = 2000
_TICKS = 60
_KEYS = "The quick brown fox jumps over the lazy dog. " * 2
_SCROLLED = 10_000
_IDLE_SECONDS = 60
_PER_SECOND = 500
_FLOOD_SECONDS = 10
_FRAMES = """async (messages) => {
  const frames = [];
  let [before, going, most] = [performance.now(), true, 0];
  const look = (now) => { frames.push(now - before); before = now; if (going) requestAnimationFrame(look); };
  requestAnimationFrame(look);
  const scroller = document.querySelector(".scroller");
  const rows = () => [...document.querySelectorAll(".row-message")];
  const first = () => Math.min(...rows().map((one) => one.dataset.key.slice(8)));
  const goal = first() - messages;
  const end = performance.now() + 60_000;
  while (messages && first() > goal && performance.now() < end) {
    scroller.scrollTop -= 700;
    most = Math.max(most, document.querySelectorAll(".rows > li").length);
    await new Promise((resolve) => requestAnimationFrame(resolve));
  }
  if (!messages) await new Promise((resolve) => setTimeout(resolve, 2000));
  going = false;
  return { frames, most, left: messages ? first() - goal : 0 };
}"""
_USABLE = """(chats) => new Promise((resolve) => {
  const look = () => document.querySelectorAll(".chat-row").length >= Math.min(chats, 60)
    ? resolve(performance.now()) : setTimeout(look);
  look();
})"""
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"
_OPENING = """if (location.pathname.endsWith("/chat")) window.opened = new Promise((resolve) => {
  const clicked = Number(sessionStorage.getItem("clicked"));
  const look = () => document.querySelector("dragoman-composer textarea")
    ? resolve(performance.timeOrigin + performance.now() - clicked) : setTimeout(look);
  look();
});
else addEventListener("click", () => {
  sessionStorage.setItem("clicked", performance.timeOrigin + performance.now());
}, { capture: true });"""
_TICK = """async (text) => {
  const field = document.querySelector("dragoman-composer textarea");
  field.value = text;
  field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  // A person's Enter comes when the row of the message before is drawn and the draft of this one is stored.
  await new Promise((resolve) => setTimeout(() => requestIdleCallback(resolve), 300));
  const begun = performance.now();
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
  const isThere = (one) => one.textContent.includes(text) && /✓/.test(one.querySelector(".message-meta").textContent);
  return new Promise((resolve) => {
    const seen = new MutationObserver(() => {
      if (![...document.querySelectorAll(".row .message-own")].some(isThere)) return;
      seen.disconnect();
      resolve(performance.now() - begun);
    });
    seen.observe(document.querySelector(".rows"), { subtree: true, childList: true, characterData: true });
  });
}"""
_KEY = """async ([keys, pause]) => {
  const field = document.querySelector("dragoman-composer textarea");
  const [costs, lags] = [[], []];
  for (const key of keys) {
    const due = performance.now() + pause;
    await new Promise((resolve) => setTimeout(resolve, pause));
    const begun = performance.now();
    lags.push(begun - due);
    field.setRangeText(key, field.value.length, field.value.length, "end");
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    await null;
    await null;
    void field.offsetHeight;
    costs.push(performance.now() - begun);
  }
  return { costs, lags };
}"""


def percentile(values: Sequence[float], share: float) -> float:
    return round(sorted(values)[min(len(values) - 1, int(len(values) * share))], 1)


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"p50": percentile(values, 0.5), "p95": percentile(values, 0.95), "longest": round(max(values), 1)}


def opened(page: ChatPage, chats: int) -> tuple[float, float]:
    """Returns the times of the first paint and of a usable list."""
    usable = page.page.evaluate(_USABLE, chats)
    return page.page.evaluate(_PAINT), usable


def openings(times: Sequence[tuple[float, float]]) -> dict[str, list[int]]:
    return {"first paint": [round(one) for one, _ in times], "usable": [round(one) for _, one in times]}


def cold(browser: Browser, edge: str, login: Any, chats: int) -> tuple[float, float]:
    """Opens the client in a browser that has stored only a login."""
    with chat_user(browser, edge, storage_state=login, service_workers="allow") as page:
        return opened(page.open(), chats)


def login_of(page: ChatPage) -> Any:
    """Returns the login from a browser's stored data, without the database of the account."""
    state: Any = page.page.context.storage_state(indexed_db=True)
    for origin in state["origins"]:
        origin["indexedDB"] = [one for one in origin["indexedDB"] if one["name"] == "dragoman"]
        origin["localStorage"] = []
    return state


def visits(browser: Browser, system: Cluster) -> list[int]:
    """Returns the times from the first page to its conversation in the client, each for a new visitor."""
    times = []
    for _ in range(_OPENINGS):
        with chat_user(browser, system.edges[0], service_workers="allow") as visitor:
            visitor.page.add_init_script(_OPENING)
            visitor.page.goto(system.first_page)
            visitor.page.locator("person-pane .log li").nth(3).wait_for()
            visitor.page.get_by_role("link", name="Open the chat").click()
            visitor.field.wait_for()
            times.append(round(visitor.page.evaluate("window.opened")))
    return times


def measure(browser: Browser, edge: str, account: LongAccount, chats: int) -> Iterator[tuple[str, Any]]:
    yield "browser", browser.version
    times = []
    for _ in range(_OPENINGS):
        with chat_user(browser, edge, service_workers="allow") as page:
            page.open().sign_in(account.username)
            login = login_of(page)
        times.append(cold(browser, edge, login, chats))
    yield "nothing stored, ms", openings(times)
    with chat_user(browser, edge, service_workers="allow") as page:
        page.open().sign_in(account.username)
        page.page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
        page.page.wait_for_timeout(5000)
        times = []
        for _ in range(_OPENINGS):
            page.page.reload()
            times.append(opened(page, chats))
            page.until_connected().page.wait_for_timeout(2000)
        yield "from the store, ms", openings(times)
        page.go("Long").page.locator(".row-message").first.wait_for()
        yield from in_the_long_chat(page.to_end(), account, edge)


def in_the_long_chat(page: ChatPage, account: LongAccount, edge: str) -> Iterator[tuple[str, Any]]:
    cdp = page.page.context.new_cdp_session(page.page)
    yield "a key, ms", spread(page.page.evaluate(_KEY, [_KEYS, 20])["costs"])
    yield "from Enter to the tick, ms", spread([page.page.evaluate(_TICK, f"tick {one}") for one in range(_TICKS)])
    with flood(account.sender, account.long, edge) as sent:
        found = page.page.evaluate(_KEY, [_KEYS, 100])
    yield (
        f"{sent['per second']} messages a second arrive, ms",
        {"a key": spread(found["costs"]), "until its turn": spread(found["lags"])},
    )
    page.to_end().page.wait_for_timeout(2000)
    yield "a page at rest: frames, ms", spread(page.page.evaluate(_FRAMES, 0)["frames"])
    found = page.page.evaluate(_FRAMES, _SCROLLED)
    yield f"{_SCROLLED - found['left']} messages scrolled: frames, ms", spread(found["frames"])
    yield "most rows in the page", found["most"]
    yield "heap, MB", heap(cdp)
    cdp.send("Performance.enable")
    before = metric(cdp, "TaskDuration")
    page.page.wait_for_timeout(_IDLE_SECONDS * 1000)
    yield f"idle for {_IDLE_SECONDS} s: CPU time, s", round(metric(cdp, "TaskDuration") - before, 3)


def heap(cdp: CDPSession) -> float:
    cdp.send("HeapProfiler.collectGarbage")
    return round(float(cdp.send("Runtime.getHeapUsage")["usedSize"]) / 1e6, 1)


def metric(cdp: CDPSession, name: str) -> float:
    return float(next(one["value"] for one in cdp.send("Performance.getMetrics")["metrics"] if one["name"] == name))


@contextmanager
def flood(sender: Bob, chat: int, edge: str) -> Iterator[dict[str, int]]:
    """Messages arrive at a steady rate inside this context."""
    sent: dict[str, int] = {}
    thread = threading.Thread(target=lambda: sent.update(asyncio.run(_flood(sender.token, chat, edge))))
    thread.start()
    yield sent
    thread.join()


async def _flood(token: str, chat: int, edge: str) -> dict[str, int]:
    async with connect(f"{edge.rstrip('/')}/ws/native", subprotocols=["dragoman"], proxy=None) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"op": "token", "id": 1, "token": token}))
        reading = asyncio.create_task(_replies(socket))
        begun = time.monotonic()
        for number in range(_PER_SECOND * _FLOOD_SECONDS):
            await asyncio.sleep(max(0.0, begun + number / _PER_SECOND - time.monotonic()))
            frame = {
                "op": "send",
                "id": 2 + number,
                "chat": chat,
                "text": f"flood {number}",
                "nonce": secrets.token_hex(8),
            }
            await socket.send(json.dumps(frame))
        await reading
        return {"per second": round(_PER_SECOND * _FLOOD_SECONDS / (time.monotonic() - begun))}


async def _replies(socket: Any) -> None:
    """Waits until each message has a reply."""
    awaited = _PER_SECOND * _FLOOD_SECONDS
    while awaited:
        awaited -= msgspec.json.decode(await socket.recv()).get("re", 0) > 1


def show(name: str, found: Any) -> None:
    print(f"{name}: {json.dumps(found)}", flush=True)  # noqa: T201


def main() -> None:
    chats, messages = (int(one) for one in [*sys.argv[1:], "2000", "100000"][:2])
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory) / "data"
        with Cluster(data, *RELAXED, *_MANY) as system:
            account = LongAccount(system.edges[1], chats)
        account.lengthen(data, messages)
        with (
            Cluster(data, *RELAXED, *_MANY) as system, sync_playwright() as playwright,
            launched(playwright.chromium, WHOLE_CHROMIUM) as browser,
        ):  # fmt: skip
            account.at(system.edges[1], messages)
            show(f"from the first page to its conversation, at most {_MOST_VISIT_MS} ms", visits(browser, system))
            for name, found in measure(browser, system.edges[0], account, chats):
                show(name, found)


if __name__ == "__main__":
    main()
