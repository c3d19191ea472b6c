"""Cases of the order of messages and changes: each once, in order, and every hole is fetched or named."""

from services.cli.conformance.trial import GROUP, OTHER_GROUP, Case, Trial
from services.edge.canonical.commands import ReadHistory


async def _hole(trial: Trial) -> None:
    peer = await trial.started(3)
    await peer.push(trial.chats.fill(GROUP, 4)[-1])
    await trial.given(GROUP, 7)


async def _out_of_order(trial: Trial) -> None:
    peer = await trial.started(3)
    four, five, six, seven = trial.chats.fill(GROUP, 4)
    await peer.push(six, four, five, seven)
    await trial.given(GROUP, 7)


async def _duplicate(trial: Trial) -> None:
    peer = await trial.started(3)
    four, five = trial.chats.fill(GROUP, 2)
    await peer.push(four, four, five, four, five)
    await trial.given(GROUP, 5)


async def _expired(trial: Trial) -> None:
    """Of the messages that the client lacks, the first ones are not there any more."""
    peer = await trial.started(3)
    last = trial.chats.fill(GROUP, 5)[-1]
    trial.chats[GROUP].kept_from = 6
    await peer.push(last)
    await trial.given(GROUP, 8)


async def _while_fetching(trial: Trial) -> None:
    peer = await trial.started(3)
    *_, six, seven, eight = trial.chats.fill(GROUP, 5)
    history = trial.server.hold(ReadHistory)
    await peer.push(six)
    await trial.until(
        lambda: bool(trial.commands(ReadHistory)) or trial.driver.deliveries.of(GROUP).last >= 6,
        "`history` for messages 4 and 5, or a gap",
    )
    await peer.push(seven, eight, *trial.chats.fill(OTHER_GROUP, 1))
    history.set()
    await trial.given(GROUP, 8)
    await trial.given(OTHER_GROUP, 1)


async def _changes(trial: Trial) -> None:
    peer = await trial.started(3)
    one, two = trial.chats[GROUP].react(1), trial.chats[GROUP].react(3)
    await peer.push(one, one, two, one)
    await trial.changed(GROUP, 1, 2)


async def _lost_change(trial: Trial) -> None:
    peer = await trial.started(3)
    one, _, three = (trial.chats[GROUP].react(index) for index in (1, 2, 3))
    await peer.push(one, three)
    await trial.changed(GROUP, 1, 2, 3)


async def _change_first(trial: Trial) -> None:
    """A change comes before the message that it is about."""
    peer = await trial.started(3)
    (four,) = trial.chats.fill(GROUP, 1)
    await peer.push(trial.chats[GROUP].react(4), four)
    await trial.given(GROUP, 4)
    await trial.changed(GROUP, 1)


CASES = (
    Case("hole", "fetches the messages before one that has come too early, or names the gap", _hole),
    Case("out-of-order", "gives messages in order that come in another one", _out_of_order),
    Case("duplicate", "gives a message once that comes twice", _duplicate),
    Case("expired", "names the gap of messages that the server does not have any more", _expired),
    Case("while-fetching", "keeps the order of what comes while it fetches", _while_fetching),
    Case("changes", "gives each change once, in order", _changes),
    Case("lost-change", "fetches changes that it lacks by `changes` or `sync`", _lost_change),
    Case("change-first", "keeps a change until it has given its message", _change_first),
)
