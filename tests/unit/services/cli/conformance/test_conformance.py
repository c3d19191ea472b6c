"""`dragoman conformance`: both clients pass every case, and a driver that breaks its contract fails."""

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli.conformance.cases import CASES
from services.cli.main import main
from tests.support.javascript import NODE, WEBSOCKETS, needs_node

ROOT = Path(__file__).parents[5]
PYTHON = (sys.executable, "-m", "clients.conformance")
JAVASCRIPT = (NODE, *WEBSOCKETS, str(ROOT / "clients/javascript/conformance.mjs"))
_READS_ALL = "import sys\nfor line in sys.stdin: pass"


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["conformance", *arguments])
    return result.exit_code, result.output


def _check_all_pass(*command: str) -> None:
    status, output = run("--jobs", "6", "--wait", "60", "--", *command)
    assert status == 0, output
    assert f"{len(CASES)} of {len(CASES)} cases passed" in output


@pytest.mark.timeout(1200)
def test_the_python_client_passes() -> None:
    _check_all_pass(*PYTHON)


@needs_node
@pytest.mark.timeout(1200)
def test_the_javascript_client_passes() -> None:
    _check_all_pass(*JAVASCRIPT)


def test_each_case_has_a_name_and_a_sentence() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)
    status, output = run("--list")
    assert status == 0
    assert re.findall(r"^(\S+)  ", output, re.MULTILINE) == names


def test_chosen_cases_are_listed() -> None:
    assert run("--list", "--only", "hole") == (0, f"hole  {next(case.text for case in CASES if case.name == 'hole')}\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["--only", "nothing", "x"], "there is no case nothing"), ([], "DRIVER is missing")],
)
def test_wrong_arguments(arguments: list[str], text: str) -> None:
    status, output = run(*arguments)
    assert status == 2
    assert text in output


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("print('ready', flush=True)\n" + _READS_ALL, "which is no line of the contract"),
        ('print(\'{"on":"nothing"}\', flush=True)\n' + _READS_ALL, "which is no line of the contract"),
        ("import sys\nsys.exit('no such client')", "no such client"),
        ("", "the driver has ended before its `close`"),
        (_READS_ALL, "within 1 s there was not: connection 1"),
    ],
    ids=["no JSON", "an unknown line", "an error", "an end", "silence"],
)
def test_a_driver_that_breaks_the_contract_fails(program: str, text: str) -> None:
    status, output = run("--wait", "1", "--only", "first-sync", "--", sys.executable, "-c", program)
    assert status == 1
    assert text in output
    assert "0 of 1 cases passed" in output


def test_a_driver_that_is_not_there() -> None:
    status, output = run("--only", "first-sync", "--", "/nowhere/driver")
    assert status == 1
    assert "the driver cannot be started" in output
