"""The machine at work on a running system."""

import secrets
import uuid
from collections.abc import Sequence
from typing import ClassVar

import click
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from tests.clients.client import Account
from tests.clients.service import Service
from tests.model.device import Differs
from tests.model.harness import Town
from tests.model.machine import Machine
from tests.model.model import LOBBY


def play(edges: Sequence[str], *, towns: int, steps: int, number: int, shrink: bool = False) -> None:
    """So many towns, of so many steps at most, drawn from the seed of this number. Raises what differs, and tells the
    story of the first town where it did. To make the story short (`shrink`) takes minutes: each try is lived."""
    keeper = _keeper(edges[0])

    class Play(Machine):
        told: ClassVar[list[str]] = []

        @staticmethod
        def open_town() -> Town:
            newest = keeper.walk(3, LOBBY, -1, 1)
            return Town(edges, newest[0].facts["index"] if newest else 0)

        def tell(self, story: Sequence[str]) -> None:
            if not self.told:
                self.told.extend(story)
                click.echo("\n".join([f"seed {number}:", *story]))

    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    manner = settings(
        max_examples=towns, stateful_step_count=steps, phases=phases, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    try:
        run_state_machine_as_test(seed(number)(Play), settings=manner)
    except Flaky as flaky:
        raise Differs(f"something did, but not when it was tried again: {Play.told[-1:]}") from flaky
    finally:
        keeper.line.close()


def _keeper(edge: str) -> Service:
    """Who knows how much was said in the lobby before."""
    keeper = Service(edge)
    keeper.register(Account("keeper", uuid=str(uuid.uuid4()), secret=secrets.token_hex(8)), "")
    keeper.join(LOBBY)
    return keeper
