"""Every mutant replaces an attribute of the product."""

import subprocess
import sys

from tests.drills.broken_builds import SHORTEST
from tests.drills.mutants import MUTANTS
from tests.support.commands import ROOT

_APPLY_EACH = """
import os, time
import services.edge.app, services.message.app  # once, not in each child
from tests.drills import mutants
time.sleep = lambda seconds: None
for name, mutant in mutants.MUTANTS.items():
    if not (child := os.fork()):
        mutant.apply()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, name
print(len(mutants.MUTANTS))
"""


def test_every_mutant_applies() -> None:
    """A mutant that replaces an attribute that the product does not have raises AttributeError.

    Each mutant is applied in its own process, because it changes classes.
    """
    done = subprocess.run([sys.executable, "-c", _APPLY_EACH], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 5


def test_every_drill_has_a_broken_build() -> None:
    assert {mutant.drill for mutant in MUTANTS.values()} == SHORTEST.keys()
