"""Cases of what a client does not know: later versions send more members and more events."""

from services.cli.conformance.driver_lines import SendStep
from services.cli.conformance.trial import GROUP, Case, Trial
from services.edge.canonical.commands import PostMessage
from shared.contract.model import Text

_MEMBERS = b',"added_later":{"index":99,"list":[1,null,true]},"error_of_tomorrow":0}'
_EVENTS = (
    b'{"ev":"aurora"}',
    b'{"ev":"aurora","chat":5,"index":99,"rev":7,"id":1,"segments":[{"t":"ray","red":1}]}',
    b'{"ev":"aurora","re":1,"error":{"code":"none"}}',
)
_TEXT = '"\\ / \u2028\u2029\t e\u0301 \U0001f34e\u200d 漢字 </b> %s {} \u00ff'


async def _unknown_members(trial: Trial) -> None:
    trial.server.alter = lambda frame: frame[:-1] + _MEMBERS
    peer = await trial.started(3)
    await peer.push(trial.chats.fill(GROUP, 3)[-1], trial.chats[GROUP].react(1))
    await trial.given(GROUP, 6)
    await trial.changed(GROUP, 1)
    await trial.driver.send(SendStep("a", GROUP, "an apple"))
    await trial.sent("a")
    peer.lose()
    await trial.connected(2)


async def _unknown_events(trial: Trial) -> None:
    peer = await trial.started(2)
    for event in _EVENTS:
        await peer.push_raw(event)
        await peer.push(*trial.chats.fill(GROUP, 1))
    await trial.given(GROUP, 5)
    await trial.driver.send(SendStep("a", GROUP, "an apple"))
    await trial.sent("a")
    trial.check(len(trial.server.attempts) == 1, "the client has connected again after an event that it does not know")


async def _texts(trial: Trial) -> None:
    """Any character arrives as it was sent, in both directions."""
    peer = await trial.started(1)
    await peer.push(trial.chats[GROUP].add((Text(_TEXT),)))
    await trial.given(GROUP, 2)
    await trial.driver.send(SendStep("a", GROUP, _TEXT))
    await trial.sent("a")
    (sent,) = trial.commands(PostMessage)
    trial.check(sent.segments == (Text(_TEXT),), f"the text was sent as {sent.segments}")


CASES = (
    Case("unknown-members", "ignores members that it does not know", _unknown_members),
    Case("unknown-events", "ignores events that it does not know", _unknown_events),
    Case("texts", "gives and sends any character as it is", _texts),
)
