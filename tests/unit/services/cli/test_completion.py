"""Tests how a shell completes commands, with the environment variable that click reads."""

import pytest
from click.testing import CliRunner

from dragoman.main import main


def completed(variables: dict[str, str]) -> str:
    return CliRunner().invoke(main, env=variables, prog_name="dragoman").output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str) -> None:
    assert "_DRAGOMAN_COMPLETE" in completed({"_DRAGOMAN_COMPLETE": f"{shell}_source"})


@pytest.mark.parametrize(
    ("line", "found"), [("dragoman ad", "admin"), ("dragoman admin mess", "message"), ("dragoman up --ed", "--edges")]
)
def test_commands_and_options_are_completed(line: str, found: str) -> None:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}
    assert completed({"_DRAGOMAN_COMPLETE": "bash_complete"} | words).split() == [f"plain,{found}"]
