"""Each broken build of the web client changes a line that exists, and names the test that must fail."""

from tests.support.commands import ROOT
from tests.system.chat.mutants import MUTANTS


def test_every_mutant_applies() -> None:
    tests = "".join(path.read_text() for path in (ROOT / "tests" / "system" / "chat").glob("test_*.py"))
    for name, mutant in MUTANTS.items():
        assert (ROOT / "web" / mutant.file).read_text().count(mutant.sound) == 1, name
        assert f"def {mutant.test}" in tests, name
