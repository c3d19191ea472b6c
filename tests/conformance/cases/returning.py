"""Cases in which the connection is lost. The client must reconnect and send its positions."""

from services.edge.canonical.commands import ReadHistory
from tests.conformance.case_run import GROUP, CaseRun, ClientCase
from tests.conformance.driver_lines import CacheDropped

_EPOCH = "e1"


async def _resume(run: CaseRun) -> None:
    peer = await run.started(3)
    run.chats.fill(GROUP, 2)
    run.chats[GROUP].react(1)
    peer.lose()
    back = await run.connected(2)
    run.check_position(back, GROUP, 3, _EPOCH)
    await run.given(GROUP, 5)
    await run.changed(GROUP, 1)
    await back.push(*run.chats.fill(GROUP, 1))
    await run.given(GROUP, 6)


async def _resume_rev(run: CaseRun) -> None:
    peer = await run.started(3)
    await peer.push(run.chats[GROUP].react(1), run.chats[GROUP].react(2))
    await run.changed(GROUP, 1, 2)
    run.chats[GROUP].react(3)
    peer.lose()
    back = await run.connected(2)
    sync = run.check_position(back, GROUP, 3, _EPOCH)
    run.check(sync.revs.get(GROUP) == 2, f"`have` of the sync has `rev` {sync.revs.get(GROUP)}, and 2 is right")
    await run.changed(GROUP, 1, 2, 3)


async def _resume_before_a_hole(run: CaseRun) -> None:
    """The connection ends while the client fetches missing messages. A client that only names the gap passes, too."""
    peer = await run.started(3)
    history = run.server.hold(ReadHistory)
    await peer.push(run.chats.fill(GROUP, 4)[-1])
    given = run.driver.deliveries.of(GROUP)
    await run.until(lambda: bool(run.commands(ReadHistory)) or given.last >= 7, "`history`, or a gap")
    last = given.last
    peer.lose()
    history.set()
    back = await run.connected(2)
    run.check_position(back, GROUP, last, _EPOCH)
    await run.given(GROUP, 7)


async def _epoch(run: CaseRun) -> None:
    """The server is restored from a backup, so it has a new epoch, and different messages under the same indexes.

    The client must forget its messages.
    """
    peer = await run.started(3)
    run.chats.restore("e2")
    run.chats.fill(GROUP, 2, "another message")
    peer.lose()
    back = await run.connected(2)
    run.check_position(back, GROUP, 3, _EPOCH)
    await run.line(CacheDropped)
    await run.given(GROUP, 2)
    back.lose()
    run.check_position(await run.connected(3), GROUP, 2, "e2")


CASES = (
    ClientCase("resume", "comes back, names what it has in `have`, and gives what it has missed", _resume),
    ClientCase("resume-rev", "names the last `rev` in `have`, too", _resume_rev),
    ClientCase("resume-before-a-hole", "names the index before a hole, not the one behind it", _resume_before_a_hole),
    ClientCase("epoch", "drops what it has when the epoch is another one", _epoch),
)
