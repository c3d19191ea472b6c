"""Cases of connections that are lost: the client comes back, and says what it has."""

from services.cli.conformance.driver_lines import CacheDropped
from services.cli.conformance.trial import GROUP, Case, Trial
from services.edge.canonical.commands import ReadHistory

_EPOCH = "e1"


async def _resume(trial: Trial) -> None:
    peer = await trial.started(3)
    trial.chats.fill(GROUP, 2)
    trial.chats[GROUP].react(1)
    peer.lose()
    back = await trial.connected(2)
    trial.check_position(back, GROUP, 3, _EPOCH)
    await trial.given(GROUP, 5)
    await trial.changed(GROUP, 1)
    await back.push(*trial.chats.fill(GROUP, 1))
    await trial.given(GROUP, 6)


async def _resume_rev(trial: Trial) -> None:
    peer = await trial.started(3)
    await peer.push(trial.chats[GROUP].react(1), trial.chats[GROUP].react(2))
    await trial.changed(GROUP, 1, 2)
    trial.chats[GROUP].react(3)
    peer.lose()
    back = await trial.connected(2)
    sync = trial.check_position(back, GROUP, 3, _EPOCH)
    trial.check(sync.revs.get(GROUP) == 2, f"`have` of the sync has `rev` {sync.revs.get(GROUP)}, and 2 is right")
    await trial.changed(GROUP, 1, 2, 3)


async def _resume_before_a_hole(trial: Trial) -> None:
    """The connection ends while the client fetches what it lacks. A client that names the gap instead has all."""
    peer = await trial.started(3)
    history = trial.server.hold(ReadHistory)
    await peer.push(trial.chats.fill(GROUP, 4)[-1])
    given = trial.driver.deliveries.of(GROUP)
    await trial.until(lambda: bool(trial.commands(ReadHistory)) or given.last >= 7, "`history`, or a gap")
    last = given.last
    peer.lose()
    history.set()
    back = await trial.connected(2)
    trial.check_position(back, GROUP, last, _EPOCH)
    await trial.given(GROUP, 7)


async def _epoch(trial: Trial) -> None:
    """The server was restored from a backup: another epoch, and other messages under the same indexes."""
    peer = await trial.started(3)
    trial.chats.restore("e2")
    trial.chats.fill(GROUP, 2, "another message")
    peer.lose()
    back = await trial.connected(2)
    trial.check_position(back, GROUP, 3, _EPOCH)
    await trial.line(CacheDropped)
    await trial.given(GROUP, 2)
    back.lose()
    trial.check_position(await trial.connected(3), GROUP, 2, "e2")


CASES = (
    Case("resume", "comes back, names what it has in `have`, and gives what it has missed", _resume),
    Case("resume-rev", "names the last `rev` in `have`, too", _resume_rev),
    Case("resume-before-a-hole", "names the index before a hole, not the one behind it", _resume_before_a_hole),
    Case("epoch", "drops what it has when the epoch is another one", _epoch),
)
