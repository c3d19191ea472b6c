"""Each user must see what the model predicts, in the frames of the user's dialect. A broken system must not pass."""

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.model.device import ModelMismatch
from tests.model.runner import play
from tests.support.cluster import RELAXED, Cluster

pytestmark = pytest.mark.xdist_group("machine")

HISTORIES, MOST_HISTORIES, STEPS = 6, 30, 40
"""`./dev drill machine` runs more histories and longer ones."""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "data", *RELAXED) as cluster:
        yield cluster


@pytest.fixture
def number(request: pytest.FixtureRequest) -> int:
    """Returns the value of `--hypothesis-seed`, or else a new seed. A failure shows it."""
    given = request.config.getoption("--hypothesis-seed")
    return secrets.randbits(32) if given is None else int(given)


def test_every_client_sees_what_the_model_predicts(cluster: Cluster, number: int) -> None:
    play(cluster.edges, histories=HISTORIES, steps=STEPS, number=number)


@pytest.mark.parametrize("mutant", ["keep-recalled", "swap-changes"])
def test_a_broken_build_is_flagged(tmp_path: Path, mutant: str) -> None:
    """The first mismatch ends the test.

    `./dev drill broken` runs all broken builds, for some of which the machine needs minutes.
    """
    program = (sys.executable, "-m", "tests.drills.mutants", mutant, "up")
    with Cluster(tmp_path / "data", *RELAXED, program=program) as cluster, pytest.raises(ModelMismatch):
        play(cluster.edges, histories=MOST_HISTORIES, steps=STEPS, number=1)
