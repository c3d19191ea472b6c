"""Cases in which the server ends a connection. The client must reconnect at the right time, or not at all."""

import time

from services.edge.dialects.base import LOGGED_OUT
from tests.conformance.backoff import backoff_faults
from tests.conformance.case_run import GROUP, RETRY_SECONDS, CaseFailed, CaseRun, ClientCase

_FAULT_SECONDS = 9.0
_CLIENTS = 5
_BACKOFF_SECONDS = 12.0
_STEP_SECONDS = 0.05
_PAUSE_SECONDS = 0.5


async def _comes_back(run: CaseRun, code: int) -> None:
    peer = await run.started(2)
    closed_at = time.monotonic()
    await peer.close(code, "restart")
    back = await run.connected(2)
    waited = run.server.attempts[1].at - closed_at
    run.check(waited >= RETRY_SECONDS, f"the client has come back after {waited:.2f} s, `retry_ms` was 1000")
    run.check_position(back, GROUP, 2, "e1")
    await back.push(*run.chats.fill(GROUP, 1))
    await run.given(GROUP, 3)


async def _restart(run: CaseRun) -> None:
    await _comes_back(run, 1012)


async def _slow(run: CaseRun) -> None:
    await _comes_back(run, 1013)


async def _revoked(run: CaseRun) -> None:
    peer = await run.started(1)
    await peer.close(1008, LOGGED_OUT)
    await run.ended("after 4003")


async def _client_fault(run: CaseRun) -> None:
    """The server closes with the code 1007, as it does for a text that is not UTF-8.

    The client must not reconnect soon, because it would send the same text again.
    """
    peer = await run.started(1)
    await peer.close(1007, "no UTF-8")
    await run.quiet(_FAULT_SECONDS)
    run.check(len(run.server.attempts) == 1, "the client has connected again within ten seconds of 1007")


async def _backoff(run: CaseRun) -> None:
    """Several clients lose their connections at the same moment. They must reconnect at different times."""
    run.chats.fill(GROUP, 1)
    for number in range(_CLIENTS):
        await run.connect(query=f"?client={number}")
    await run.until(
        lambda: len(run.server.peers) == _CLIENTS and all(peer.is_synced for peer in run.server.peers),
        f"the connections of {_CLIENTS} clients",
    )
    run.server.rejects, first = True, len(run.server.attempts)
    start = time.monotonic()
    for peer in run.server.peers:
        peer.lose()
    pause = await _longest_pause(run, start + _BACKOFF_SECONDS)
    attempts = run.server.attempts[first:]
    if pause > _PAUSE_SECONDS:
        return  # the machine is too busy for a comparison of times
    of_clients = [[one.at for one in attempts if one.query == f"client={n}"] for n in range(_CLIENTS)]
    for fault in backoff_faults(start, _BACKOFF_SECONDS, of_clients):
        raise CaseFailed(fault)


async def _longest_pause(run: CaseRun, end: float) -> float:
    """Returns the longest time in seconds before `end` in which the machine did not run this program."""
    longest, now = 0.0, time.monotonic()
    while now < end:
        await run.quiet(_STEP_SECONDS)
        before, now = now, time.monotonic()
        longest = max(longest, now - before - _STEP_SECONDS)
    return longest


CASES = (
    ClientCase("restart", "comes back after 1012, not before `retry_ms`", _restart),
    ClientCase("slow", "comes back after 1013, not before `retry_ms`", _slow),
    ClientCase("revoked", "does not come back after 4003", _revoked),
    ClientCase("client-fault", "waits for ten seconds after it has broken a rule", _client_fault),
    ClientCase("backoff", "tries again after random times, which grow", _backoff),
)
