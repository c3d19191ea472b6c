"""Cases with members and events that this version does not have. Later versions of the server will send such frames."""

from services.edge.canonical.commands import PostMessage
from shared.contract.model import Text
from tests.conformance.case_run import GROUP, CaseRun, ClientCase
from tests.conformance.driver_lines import SendTextStep

_MEMBERS = b',"added_later":{"index":99,"list":[1,null,true]},"error_of_tomorrow":0}'
_EVENTS = (
    b'{"ev":"aurora"}',
    b'{"ev":"aurora","chat":5,"index":99,"rev":7,"id":1,"segments":[{"t":"ray","red":1}]}',
    b'{"ev":"aurora","re":1,"error":{"code":"none"}}',
)
_TEXT = '"\\ / \u2028\u2029\t e\u0301 \U0001f34e\u200d 漢字 </b> %s {} \u00ff'


async def _unknown_members(run: CaseRun) -> None:
    run.server.alter = lambda frame: frame[:-1] + _MEMBERS
    peer = await run.started(3)
    await peer.push(run.chats.fill(GROUP, 3)[-1], run.chats[GROUP].react(1))
    await run.given(GROUP, 6)
    await run.changed(GROUP, 1)
    await run.driver.send(SendTextStep("a", GROUP, "an apple"))
    await run.sent("a")
    peer.lose()
    await run.connected(2)


async def _unknown_events(run: CaseRun) -> None:
    peer = await run.started(2)
    for event in _EVENTS:
        await peer.push_raw(event)
        await peer.push(*run.chats.fill(GROUP, 1))
    await run.given(GROUP, 5)
    await run.driver.send(SendTextStep("a", GROUP, "an apple"))
    await run.sent("a")
    run.check(len(run.server.attempts) == 1, "the client has connected again after an event that it does not know")


async def _texts(run: CaseRun) -> None:
    """A text with any characters arrives unchanged, from the client and to the client."""
    peer = await run.started(1)
    await peer.push(run.chats[GROUP].add((Text(_TEXT),)))
    await run.given(GROUP, 2)
    await run.driver.send(SendTextStep("a", GROUP, _TEXT))
    await run.sent("a")
    (sent,) = run.commands(PostMessage)
    run.check(sent.segments == (Text(_TEXT),), f"the text was sent as {sent.segments}")


CASES = (
    ClientCase("unknown-members", "ignores members that it does not know", _unknown_members),
    ClientCase("unknown-events", "ignores events that it does not know", _unknown_events),
    ClientCase("texts", "gives and sends any character as it is", _texts),
)
