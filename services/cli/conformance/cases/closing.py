"""Cases of how the server ends connections, and of when the client comes back."""

import time

from services.cli.conformance.backoff import backoff_faults
from services.cli.conformance.trial import GROUP, RETRY_SECONDS, Case, CaseFailed, Trial
from services.edge.dialects.base import LOGGED_OUT

_FAULT_SECONDS = 9.0
_CLIENTS = 5
_BACKOFF_SECONDS = 12.0
_STEP_SECONDS = 0.05
_PAUSE_SECONDS = 0.5


async def _comes_back(trial: Trial, code: int) -> None:
    peer = await trial.started(2)
    closed_at = time.monotonic()
    await peer.close(code, "restart")
    back = await trial.connected(2)
    waited = trial.server.attempts[1].at - closed_at
    trial.check(waited >= RETRY_SECONDS, f"the client has come back after {waited:.2f} s, `retry_ms` was 1000")
    trial.check_position(back, GROUP, 2, "e1")
    await back.push(*trial.chats.fill(GROUP, 1))
    await trial.given(GROUP, 3)


async def _restart(trial: Trial) -> None:
    await _comes_back(trial, 1012)


async def _slow(trial: Trial) -> None:
    await _comes_back(trial, 1013)


async def _revoked(trial: Trial) -> None:
    peer = await trial.started(1)
    await peer.close(1008, LOGGED_OUT)
    await trial.ended("after 4003")


async def _client_fault(trial: Trial) -> None:
    """As for a text that is not UTF-8. A next connection would end in the same way."""
    peer = await trial.started(1)
    await peer.close(1007, "no UTF-8")
    await trial.quiet(_FAULT_SECONDS)
    trial.check(len(trial.server.attempts) == 1, "the client has connected again within ten seconds of 1007")


async def _backoff(trial: Trial) -> None:
    """Several clients lose their connections at one moment."""
    trial.chats.fill(GROUP, 1)
    for number in range(_CLIENTS):
        await trial.connect(query=f"?client={number}")
    await trial.until(
        lambda: len(trial.server.peers) == _CLIENTS and all(peer.is_synced for peer in trial.server.peers),
        f"the connections of {_CLIENTS} clients",
    )
    trial.server.rejects, first = True, len(trial.server.attempts)
    start = time.monotonic()
    for peer in trial.server.peers:
        peer.lose()
    pause = await _longest_pause(trial, start + _BACKOFF_SECONDS)
    attempts = trial.server.attempts[first:]
    if pause > _PAUSE_SECONDS:
        return  # the machine is too busy to compare times
    of_clients = [[one.at for one in attempts if one.query == f"client={n}"] for n in range(_CLIENTS)]
    for fault in backoff_faults(start, _BACKOFF_SECONDS, of_clients):
        raise CaseFailed(fault)


async def _longest_pause(trial: Trial, end: float) -> float:
    """For how long at most this program was not run until then, in seconds."""
    longest, now = 0.0, time.monotonic()
    while now < end:
        await trial.quiet(_STEP_SECONDS)
        before, now = now, time.monotonic()
        longest = max(longest, now - before - _STEP_SECONDS)
    return longest


CASES = (
    Case("restart", "comes back after 1012, not before `retry_ms`", _restart),
    Case("slow", "comes back after 1013, not before `retry_ms`", _slow),
    Case("revoked", "does not come back after 4003", _revoked),
    Case("client-fault", "waits for ten seconds after it has broken a rule", _client_fault),
    Case("backoff", "tries again after random times, which grow", _backoff),
)
