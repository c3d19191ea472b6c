"""Cases about the order of messages and changes.

A client must give each of them once and in order. It must fetch missing ones, or name them in a gap.
"""

from services.edge.canonical.commands import ReadHistory
from tests.conformance.case_run import GROUP, OTHER_GROUP, CaseRun, ClientCase


async def _hole(run: CaseRun) -> None:
    peer = await run.started(3)
    await peer.push(run.chats.fill(GROUP, 4)[-1])
    await run.given(GROUP, 7)


async def _out_of_order(run: CaseRun) -> None:
    peer = await run.started(3)
    four, five, six, seven = run.chats.fill(GROUP, 4)
    await peer.push(six, four, five, seven)
    await run.given(GROUP, 7)


async def _duplicate(run: CaseRun) -> None:
    peer = await run.started(3)
    four, five = run.chats.fill(GROUP, 2)
    await peer.push(four, four, five, four, five)
    await run.given(GROUP, 5)


async def _expired(run: CaseRun) -> None:
    """The first of the messages that the client lacks have expired on the server."""
    peer = await run.started(3)
    last = run.chats.fill(GROUP, 5)[-1]
    run.chats[GROUP].kept_from = 6
    await peer.push(last)
    await run.given(GROUP, 8)


async def _while_fetching(run: CaseRun) -> None:
    peer = await run.started(3)
    *_, six, seven, eight = run.chats.fill(GROUP, 5)
    history = run.server.hold(ReadHistory)
    await peer.push(six)
    await run.until(
        lambda: bool(run.commands(ReadHistory)) or run.driver.deliveries.of(GROUP).last >= 6,
        "`history` for messages 4 and 5, or a gap",
    )
    await peer.push(seven, eight, *run.chats.fill(OTHER_GROUP, 1))
    history.set()
    await run.given(GROUP, 8)
    await run.given(OTHER_GROUP, 1)


async def _changes(run: CaseRun) -> None:
    peer = await run.started(3)
    one, two = run.chats[GROUP].react(1), run.chats[GROUP].react(3)
    await peer.push(one, one, two, one)
    await run.changed(GROUP, 1, 2)


async def _lost_change(run: CaseRun) -> None:
    peer = await run.started(3)
    one, _, three = (run.chats[GROUP].react(index) for index in (1, 2, 3))
    await peer.push(one, three)
    await run.changed(GROUP, 1, 2, 3)


async def _change_first(run: CaseRun) -> None:
    """A change arrives before the message that it changes."""
    peer = await run.started(3)
    (four,) = run.chats.fill(GROUP, 1)
    await peer.push(run.chats[GROUP].react(4), four)
    await run.given(GROUP, 4)
    await run.changed(GROUP, 1)


CASES = (
    ClientCase("hole", "fetches the messages before one that has come too early, or names the gap", _hole),
    ClientCase("out-of-order", "gives messages in order that come in another one", _out_of_order),
    ClientCase("duplicate", "gives a message once that comes twice", _duplicate),
    ClientCase("expired", "names the gap of messages that the server does not have any more", _expired),
    ClientCase("while-fetching", "keeps the order of what comes while it fetches", _while_fetching),
    ClientCase("changes", "gives each change once, in order", _changes),
    ClientCase("lost-change", "fetches changes that it lacks by `changes` or `sync`", _lost_change),
    ClientCase("change-first", "keeps a change until it has given its message", _change_first),
)
