"""Every mutant replaces an attribute of the product."""

import subprocess
import sys

import pytest

from tests.drills.cluster import ROOT
from tests.drills.mutants import MUTANTS


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_mutant_applies(name: str) -> None:
    """A name that the product lacks raises AttributeError. A mutant changes classes, so it needs its own process."""
    code = f"from tests.drills.mutants import MUTANTS; MUTANTS[{name!r}].apply()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
