"""A soak of the web client: `python -m tests.system.chat.soak --seconds N --seed N`.

Four users with six tabs, and users of every other dialect, write into one group. Meanwhile edges and message are
killed, connections are cut, and tabs are set offline, reloaded, closed and opened again. At the end, each tab shows all
messages of the database, and no browser has stored other messages.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error

from tests.support.chat_page import ChatPage, Shown, chat_user
from tests.support.cluster import RELAXED, Cluster
from tests.support.first_page import chromium
from tests.support.proxy import TcpProxy
from tests.system.chat.conftest import Bob
from tests.system.chat.dialect_writer import DIALECTS, DialectWriter, IrcWriter, SoakUser

_NAMES = ("Ann", "Bea", "Cem", "Dan")
_TABS_OF = (2, 2, 1, 1)
_KILLED = ("edge-1", "edge-2", "message")
_EMOJI = ("👍", "❤️", "🎉")
_LAST_MILLISECONDS = 60_000
_COLLECT_MILLISECONDS = 300_000
_SHOWN_DIFFERENCES = 5
_REACT = """(chance) => {
  const shown = [...document.querySelectorAll(".rows .reaction")];
  shown[Math.floor(chance * shown.length)]?.click();
}"""
_IS_AT_END = """([last]) => {
  for (const jump of document.querySelectorAll(".jump")) jump.click();
  return document.querySelector(`.rows > [data-key="message ${last}"] .reaction`) !== null
    && document.querySelector(".rows > .row-sending") === null;
}"""


class Proxies:
    """The proxies between browsers and edges. Their event loop runs in a separate thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.all: list[TcpProxy] = []

    def open(self, edge: str) -> str:
        proxy = TcpProxy(int(edge.rpartition(":")[2]))
        asyncio.run_coroutine_threadsafe(proxy.start(), self._loop).result()
        self.all.append(proxy)
        return f"ws://127.0.0.1:{proxy.port}"

    def do(self, action: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(action)

    def close(self) -> None:
        for proxy in self.all:
            asyncio.run_coroutine_threadsafe(proxy.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class TabSoak:
    """The soak of the web client. `written` are the texts that a tab has accepted, so they must arrive."""

    def __init__(self, system: Cluster, proxies: Proxies, tabs: Sequence[ChatPage], seed: int) -> None:
        self._system = system
        self._proxies = proxies
        self._tabs = list(tabs)
        self._bob = Bob(system.edges[1])
        self._chance = random.Random(seed)
        self._others: list[SoakUser] = [DialectWriter(system.edges, name, seed) for name in DIALECTS]
        irc = Bob(system.edges[0], "Ivy")
        self._others.append(IrcWriter(system.edges, irc.username))
        members = {
            *(tab.account() for tab in tabs),
            *(user.number for user in self._others if user.number),
            irc.account,
        }
        self.chat = self._bob.group("Soak", *members)
        self.written: list[str] = []
        self.done: Counter[str] = Counter()
        for tab in tabs:
            tab.go("Soak")

    def run(self, seconds: float) -> None:
        steps: dict[Callable[[], None], int] = {
            self._write: 24, self._write_by_dialect: 12, self._change: 6, self._react: 6, self._go_offline: 2,
            self._reload: 2, self._cut: 2, self._freeze: 1, self._reopen: 1, self._kill: 1,
        }  # fmt: skip
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            (step,) = self._chance.choices(list(steps), list(steps.values()))
            step()
            self.done[step.__name__.strip("_")] += 1

    # The methods below are what happens during the soak.

    def _write(self) -> None:
        text = f"text {len(self.written)} {self._chance.randrange(10**6)}"
        self._chance.choice(self._tabs).send(text)
        self.written.append(text)

    def _write_by_dialect(self) -> None:
        self._chance.choice(self._others).write(self.chat, f"other {self._chance.randrange(10**9)}")

    def _change(self) -> None:
        """Makes Bob write a message, react to any message, and sometimes edit or recall the new one.

        If a command fails, the soak continues.
        """
        with suppress(OSError):
            index = self._bob.send(self.chat, f"Bob's {self._chance.randrange(10**9)}")
            some = self._chance.randrange(1, index + 1)
            self._bob.call("react", chat=self.chat, index=some, emoji=self._chance.choice(_EMOJI))
            if self._chance.random() < 0.5:
                text = f"edited {self._chance.randrange(10**9)}"
                self._bob.call("edit", chat=self.chat, index=index, text=text, nonce=text)
            if self._chance.random() < 0.2:
                self._bob.call("recall", chat=self.chat, index=index)

    def _react(self) -> None:
        """Makes the user of a tab add a reaction that a message already has, or remove it."""
        self._chance.choice(self._tabs).page.evaluate(_REACT, self._chance.random())

    def _go_offline(self) -> None:
        """Switches the network of a tab off or on."""
        context = self._chance.choice(self._tabs).page.context
        context.set_offline(self._chance.random() < 0.5)

    def _reload(self) -> None:
        self._chance.choice(self._tabs).page.reload()

    def _cut(self) -> None:
        self._proxies.do(self._chance.choice(self._proxies.all).reset_peer)

    def _freeze(self) -> None:
        """Freezes a proxy, or ends its faults."""
        proxy = self._chance.choice(self._proxies.all)
        self._proxies.do(proxy.time_out if self._chance.random() < 0.4 else proxy.clear)

    def _reopen(self) -> None:
        """Opens another tab in the same browser, and closes the first one."""
        at = self._chance.randrange(len(self._tabs))
        before = self._tabs[at]
        self._proxies.do(self._proxies.all[_owner(at)].clear)
        before.page.context.set_offline(False)
        after = ChatPage(before.page.context.new_page(), before.address.removesuffix("/chat"))
        self._tabs[at] = after.open(f"/{self.chat}")
        try:
            after.field.wait_for()
        except Error as error:
            raise AssertionError(f"a new tab shows no chat: {after.page.inner_text('body')}") from error
        before.page.close()

    def _kill(self) -> None:
        self._system.kill(self._chance.choice(_KILLED))

    # The methods below check the state at the end.

    def check(self) -> list[str]:
        """Returns what is wrong at the end."""
        for proxy in self._proxies.all:
            self._proxies.do(proxy.clear)
        for tab in self._tabs:
            tab.page.context.set_offline(False)
        self._system.wait_for_edges(30)
        for user in self._others:
            user.close()
        unsent = [line for at, tab in enumerate(self._tabs) for line in self._unsent(at, tab)]
        self._bob.call("react", chat=self.chat, index=self._bob.send(self.chat, "the end"), emoji=_EMOJI[0])
        database = self._database()
        texts = [text for text, *_ in database.values()]
        wrong = [f"{text}: {number} times" for text, number in Counter(filter(None, texts)).items() if number != 1]
        wrong += unsent
        wrong += [f"{text}: lost" for text in self.written if text not in texts]
        for at, tab in enumerate(self._tabs):
            place = f"tab {at} of {_NAMES[_owner(at)]}"
            wrong += [f"{place} {line}" for line in self._end_of(tab, max(database))]
        for at, tab in enumerate(self._tabs):
            tab.page.bring_to_front()  # the timers of a hidden tab are slow
            tab.collect(len(database), _COLLECT_MILLISECONDS)
            place = f"tab {at} of {_NAMES[_owner(at)]}"
            wrong += [f"{place} {line}" for line in self._differences(tab, database)]
        return wrong

    def _unsent(self, at: int, tab: ChatPage) -> Iterator[str]:
        try:
            tab.page.get_by_text("Everything is sent.").wait_for(timeout=_LAST_MILLISECONDS)
        except Error:
            tab.page.locator(".drawer-line").click()
            drawer = tab.page.locator("footer.drawer").inner_text()
            yield f"tab {at} of {_NAMES[_owner(at)]} has not sent everything: {drawer}"

    def _database(self) -> dict[int, Shown]:
        found: dict[int, Shown] = {}
        while messages := self._bob.call(
            "history", chat=self.chat, count=100, dir="newer", **{"from": max(found, default=0) + 1}
        )["messages"]:
            found |= {one["index"]: _shown(one) for one in messages}
        return found

    def _end_of(self, tab: ChatPage, last: int) -> Iterator[str]:
        """Yields an error if the tab cannot show the newest message and its reaction.

        The test moves there only with the button to the end. Then the tab has all messages before it.
        """
        try:
            tab.page.wait_for_function(_IS_AT_END, arg=[last], timeout=_LAST_MILLISECONDS)
            tab.chat("Soak").locator(".badge").wait_for(state="detached")
        except Error:
            state = tab.page.locator(".drawer-line").inner_text()
            unread = tab.chat("Soak").locator(".badge").all_inner_texts()
            yield f"does not come to the end, {last}: {tab.texts()[-3:]}, {state}, unread: {unread}"

    def _differences(self, tab: ChatPage, database: Mapping[int, Shown]) -> Iterator[str]:
        yield from _compared("shows", tab.collected(), database)
        stored = {index: _shown(one) for index, one in tab.stored(self.chat).items()}
        yield from _compared("has stored", stored, {index: database[index] for index in stored if index in database})
        if tab.reports():
            yield f"policies report {tab.reports()}"


def _owner(at: int) -> int:
    """Returns the index of the user to whom the tab at this position belongs."""
    return next(one for one in range(len(_TABS_OF)) if at < sum(_TABS_OF[: one + 1]))


def _shown(message: Mapping[str, Any]) -> Shown:
    text = "".join(part.get("text", "") for part in message["segments"])
    reactions = sorted(f"{emoji} {number}" for emoji, number in (message.get("reactions") or {}).items() if number)
    return text, bool(message.get("recalled")), reactions


def _compared(verb: str, found: Mapping[int, Shown], database: Mapping[int, Shown]) -> list[str]:
    differing = [index for index in sorted({*found, *database}) if found.get(index) != database.get(index)]
    lines = [f"{verb} {found.get(index)} as message {index}, not {database.get(index)}" for index in differing]
    return [*lines[:_SHOWN_DIFFERENCES], *([f"… {len(lines)} in all"] if len(lines) > _SHOWN_DIFFERENCES else [])]


@contextmanager
def _tabs(browser: Browser, edges: Sequence[str], seed: int) -> Iterator[list[ChatPage]]:
    """Opens six tabs of four users. Each browser connects to its edge through its own proxy."""
    with ExitStack() as stack:
        tabs = list[ChatPage]()
        for name, number, edge in zip(_NAMES, _TABS_OF, edges, strict=True):
            tab = stack.enter_context(chat_user(browser, edge, service_workers="allow"))
            tab.open().register(name, f"{name.lower()}{seed}")
            tab.page.wait_for_function("navigator.serviceWorker.ready.then(() => true)")
            tabs += [tab, *(tab.another_tab() for _ in range(number - 1))]
        yield tabs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        system = stack.enter_context(Cluster(Path(directory) / "data", *RELAXED))
        browser = stack.enter_context(chromium())
        proxies = Proxies()
        stack.callback(proxies.close)
        edges = [proxies.open(system.edges[at % 2]) for at in range(len(_NAMES))]
        tabs = stack.enter_context(_tabs(browser, edges, options.seed))
        soak = TabSoak(system, proxies, tabs, options.seed)
        soak.run(options.seconds)
        wrong = soak.check()
    print(*wrong, f"{len(soak.written)} texts of tabs; {dict(soak.done)}; {len(wrong)} wrong", sep="\n")  # noqa: T201
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
