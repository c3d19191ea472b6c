"""Both client libraries of native pass every case. A driver that breaks its contract fails."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.conformance.case_run import ClientCase
from tests.conformance.cases import CASES
from tests.conformance.runner import CaseResult, run_cases
from tests.support.javascript import NODE, WEBSOCKETS, needs_node

PYTHON = (sys.executable, "-m", "tests.conformance.python_driver")
JAVASCRIPT = (NODE, *WEBSOCKETS, str(Path(__file__).parent / "javascript_driver.mjs"))
FIRST_SYNC = [case for case in CASES if case.name == "first-sync"]
_READS_ALL = "import sys\nfor line in sys.stdin: pass"


async def failed(
    command: Sequence[str], cases: Sequence[ClientCase] = CASES, seconds: float = 60.0
) -> list[CaseResult]:
    return [result async for result in run_cases(cases, command, seconds, 6) if result.failure]


@pytest.mark.timeout(1200)
async def test_the_python_client_passes() -> None:
    assert await failed(PYTHON) == []


@needs_node
@pytest.mark.timeout(1200)
async def test_the_javascript_client_passes() -> None:
    assert await failed(JAVASCRIPT) == []


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("print('ready', flush=True)\n" + _READS_ALL, "which is no line of the contract"),
        ('print(\'{"on":"nothing"}\', flush=True)\n' + _READS_ALL, "which is no line of the contract"),
        ("import sys\nsys.exit('no such client')", "the driver has ended"),
        ("", "the driver has ended before its `close`"),
        (_READS_ALL, "within 1 s there was not: connection 1"),
    ],
    ids=["no JSON", "an unknown line", "an error", "an end", "silence"],
)
async def test_a_driver_that_breaks_the_contract_fails(program: str, text: str) -> None:
    (result,) = await failed([sys.executable, "-c", program], FIRST_SYNC, 1.0)
    assert text in result.failure
