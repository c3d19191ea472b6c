"""The kit must fail wrong clients. Each wrong client is the Python client with one change of its source.

test_backoff.py tests wrong delays with simulated clients, because a busy machine changes real delays.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conformance.cases import CASES
from tests.conformance.runner import run_cases

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "dragoman_client/client"
DRIVER = Path(__file__).parent / "python_driver.py"


_SECONDS = 10.0


class ClientMutant(NamedTuple):
    """A wrong client.

    In `file`, the text `old` is replaced by `new`. The case `case` must then fail, with `text` in its message.
    """

    file: str
    old: str
    new: str
    case: str
    text: str


MAIN, TOKENS = "client.py", "tokens.py"
ORDERING, CONNECTION = "ordering.py", "connection.py"
NONCE = '{**entry.draft, "nonce": str(id(asyncio.current_task()))}'
EXACT = "(lambda account, sid, expires, time: account)(**reply)"
NO_HOLE, NOT_THERE = "was neither given nor named", "which the server does not have"
MUTANTS = (
    ClientMutant(MAIN, 'end.code != "internal"', "False", "wrong-token", "connected again"),
    ClientMutant(MAIN, "await self._sync(order)\n        wh", "wh", "first-sync", "connection 1"),
    ClientMutant(TOKENS, 'account = reply.get("account", 0)', f"account = {EXACT}", "unknown-members", "connection 1"),
    ClientMutant(ORDERING, "while place.index < index:", "while False:", "hole", NO_HOLE),
    ClientMutant(ORDERING, "while place.index < index:", "while False:", "out-of-order", NO_HOLE),
    ClientMutant(ORDERING, 'event["index"] <= place.index', "False", "duplicate", "was given twice"),
    ClientMutant(ORDERING, 'self._skip(chat, place, message["index"] - 1)', "pass", "expired", NO_HOLE),
    ClientMutant(ORDERING, "while max(place.rev, place.covered) < rev:", "while False:", "lost-change", "as [1, 3]"),
    ClientMutant(ORDERING, 'event["rev"] <= place.rev', "False", "changes", "was given after change"),
    ClientMutant(ORDERING, 'chat, event["index"], event["rev"]', 'chat, 0, event["rev"]', "change-first", "before its"),
    ClientMutant(ORDERING, 'elif kind == "changed":', 'elif "rev" in event:', "unknown-events", NOT_THERE),
    ClientMutant(ORDERING, "before, one.index, one", "before, one.index + 1, one", "resume", "`have` of the sync"),
    ClientMutant(ORDERING, "one.index, one.rev, one.s", "one.index, 0, one.s", "resume-rev", "`have` of the sync"),
    ClientMutant(MAIN, 'if page["reset"]:', "if False:", "epoch", "a line `reset`"),
    ClientMutant(MAIN, "repeat(entry.op, entry.draft,", f"repeat(entry.op, {NONCE},", "lost-reply", "another nonce"),
    ClientMutant(CONNECTION, "if retry_ms is None:", "if True:", "unknown", "has given up"),
    ClientMutant(CONNECTION, "spread(retry_ms / 1000)", "0", "again", "`retry_ms` was 1000"),
    ClientMutant(CONNECTION, 'text or code, field', 'text or code, ""', "call", "the error is"),
    ClientMutant(CONNECTION, 'text or code, field', '"no", field', "rejected", "the error is"),
    ClientMutant(MAIN, "(end.retry_ms or 0) / 1000 +", "", "restart", "`retry_ms` was 1000"),
    ClientMutant(MAIN, "if end.retry_ms is None", "if False", "revoked", "after 4003"),
    ClientMutant(CONNECTION, "_FAULT_MS = 10_000", "_FAULT_MS = 0", "client-fault", "within ten seconds"),
)  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.case}: {mutant.new[:20] or mutant.old[:20]}")
async def test_a_wrong_client_fails(mutant: ClientMutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_mutated(mutant, tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    chosen = [case for case in CASES if case.name == mutant.case]
    command = [sys.executable, str(tmp_path / "driver.py")]
    (result,) = [result async for result in run_cases(chosen, command, _SECONDS, 1)]
    assert mutant.text in result.failure, (result.failure, result.errors)


def _write_mutated(mutant: ClientMutant, directory: Path) -> None:
    package = directory / "mutated"
    package.mkdir()
    assert (CLIENT / mutant.file).is_file()
    for path in CLIENT.glob("*.py"):
        source = path.read_text()
        if path.name == mutant.file:
            assert mutant.old in source
            source = source.replace(mutant.old, mutant.new)
        (package / path.name).write_text(source.replace("dragoman_client.client", "mutated"))
    (directory / "driver.py").write_text(DRIVER.read_text().replace("dragoman_client.client", "mutated"))
