"""Cases about the login and the first sync."""

from services.edge.canonical.commands import ReadHistory
from shared.contract.message import GetChanges
from tests.conformance.case_run import GROUP, OTHER_GROUP, CaseRun, ClientCase


async def _first_sync(run: CaseRun) -> None:
    run.chats.fill(GROUP, 3)
    run.chats.fill(OTHER_GROUP, 2)
    await run.connect()
    await run.connected()
    await run.given(GROUP, 3)
    await run.given(OTHER_GROUP, 2)


async def _long_chat(run: CaseRun) -> None:
    run.chats.fill(GROUP, 250)
    await run.connect()
    peer = await run.connected()
    await run.given(GROUP, 250)
    await peer.push(*run.chats.fill(GROUP, 1))
    await run.given(GROUP, 251)


async def _new_chat(run: CaseRun) -> None:
    peer = await run.started(1)
    await peer.push(*run.chats.fill(OTHER_GROUP, 2))
    await run.given(OTHER_GROUP, 2)


async def _joined_chat(run: CaseRun) -> None:
    """The event of a new chat names the first message that the client may see.

    The client requests nothing from before that message.
    """
    peer = await run.started(1)
    run.chats.fill(OTHER_GROUP, 40)
    run.chats[OTHER_GROUP].react(40)
    await peer.push_joined(run.chats[OTHER_GROUP], first=41)
    await peer.push(*run.chats.fill(OTHER_GROUP, 1), run.chats[OTHER_GROUP].react(41))
    await run.given(OTHER_GROUP, 41)
    await run.changed(OTHER_GROUP, 2)
    requested = {one.chat for one in run.commands(ReadHistory)} | {one.chat for one in run.commands(GetChanges)}
    run.check(OTHER_GROUP not in requested, "the client has requested `history` or `changes` of the new chat")


async def _joined_chat_with_history(run: CaseRun) -> None:
    peer = await run.started(1)
    run.chats.fill(OTHER_GROUP, 3)
    await peer.push_joined(run.chats[OTHER_GROUP], first=1)
    await peer.push(*run.chats.fill(OTHER_GROUP, 1))
    await run.given(OTHER_GROUP, 4)


async def _wrong_token(run: CaseRun) -> None:
    await run.connect("another token")
    await run.ended("after its token was rejected")


CASES = (
    ClientCase("first-sync", "logs in by a token, syncs, and gives the messages of each chat", _first_sync),
    ClientCase("long-chat", "gives the newest messages of a long chat, and the next one", _long_chat),
    ClientCase("new-chat", "gives the messages of a chat that is new after the sync", _new_chat),
    ClientCase("joined-chat", "begins in a new chat where its event says, and requests nothing", _joined_chat),
    ClientCase("chat-with-history", "gives what is before the first message of a new chat", _joined_chat_with_history),
    ClientCase("wrong-token", "ends, and does not try again, when its token is rejected", _wrong_token),
)
