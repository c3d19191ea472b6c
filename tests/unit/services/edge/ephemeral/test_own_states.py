"""The states that accounts set over the connections of one edge end with these connections."""

import asyncio
from collections.abc import Collection
from types import SimpleNamespace

from services.edge.ephemeral.own_states import OwnStates
from shared.contract.ids import AccountId, NodeId
from shared.presence.scripts import Command
from tests.support.waiting import until

ANN, BOB, NODE = AccountId(1), AccountId(2), NodeId("here")


async def test_a_state_that_is_set_while_earlier_ones_end_stays() -> None:
    """Ann's earlier connection has ended, and Bob's too. While Ann's state is removed, both set states over new
    connections."""
    open_connections, sent, gate = {(ANN, 1), (BOB, 1)}, list[Command](), asyncio.Event()

    async def change_states(commands: Collection[Command]) -> None:
        sent.extend(commands)
        if (ANN, 1) not in open_connections and len(sent) == 3:
            await gate.wait()

    def recipient(account: AccountId, connection: int) -> object:
        return (account, connection) if (account, connection) in open_connections else None

    accounts = SimpleNamespace(recipient=recipient, is_leaving=lambda _: False)
    states = OwnStates(SimpleNamespace(change_states=change_states), NODE, accounts, lambda: len(sent))  # type: ignore[arg-type]
    for account in (ANN, BOB):
        await states.give(account, 1, "away", "")
    open_connections -= {(ANN, 1), (BOB, 1)}
    ending = asyncio.create_task(states.end_departed())
    await until(lambda: len(sent) == 3)
    open_connections |= {(ANN, 2), (BOB, 2)}
    for account in (ANN, BOB):
        await states.give(account, 2, "busy", "")
    gate.set()
    await ending
    values = [command[5] for command in sent]
    assert values == ["away 0 here", "away 1 here", "away 0 here", "busy 3 here", "busy 4 here", "away 1 here"]
    open_connections -= {(ANN, 2), (BOB, 2)}
    await states.end_departed()
    assert [command[5] for command in sent[6:]] == ["busy 3 here", "busy 4 here"]
