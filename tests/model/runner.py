"""Runs the state machine on a running system."""

import secrets
from collections.abc import Sequence
from typing import ClassVar

import click
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import Flaky
from hypothesis.stateful import run_state_machine_as_test

from tests.clients.client import Account
from tests.clients.native import Native
from tests.model.device import ModelMismatch
from tests.model.harness import ModelHarness
from tests.model.model import LOBBY
from tests.model.native_machine import NativeMachine


def play(edges: Sequence[str], *, histories: int, steps: int, number: int, shrink: bool = False) -> None:
    """Runs this many histories of at most `steps` steps. They are drawn with the seed `number`.

    Raises ModelMismatch, and prints the steps of the first history with a mismatch. With `shrink`, it first searches
    for a shorter history. This takes minutes, because each attempt runs on the system.
    """
    lobby_reader = _lobby_reader(edges[0])

    class SeededMachine(NativeMachine):
        reported: ClassVar[list[str]] = []

        @staticmethod
        def open_harness() -> ModelHarness:
            lobby = lobby_reader.chats()[LOBBY]
            return ModelHarness(edges, lobby["head"], lobby["rev"])

        def report(self, log: Sequence[str]) -> None:
            if not self.reported:
                self.reported.extend(log)
                click.echo("\n".join([f"seed {number}:", *log]))

    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    manner = settings(
        max_examples=histories, stateful_step_count=steps, phases=phases, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), print_blob=False,
    )  # fmt: skip
    try:
        run_state_machine_as_test(seed(number)(SeededMachine), settings=manner)
    except Flaky as flaky:
        raise ModelMismatch(f"a mismatch that was not repeated: {SeededMachine.reported[-1:]}") from flaky
    finally:
        lobby_reader.line.close()


def _lobby_reader(edge: str) -> Native:
    """Returns a client that reads how many messages and changes the lobby already has."""
    lobby_reader = Native(edge)
    lobby_reader.register(Account(f"k{secrets.token_hex(5)}"), "keeper")
    lobby_reader.apply(LOBBY, "")
    return lobby_reader
