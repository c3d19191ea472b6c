"""Cases of the login and the first sync."""

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


async def _wrong_token(run: CaseRun) -> None:
    await run.connect("another token")
    await run.ended("after its token was rejected")


CASES = (
    ClientCase("first-sync", "logs in by a token, syncs, and gives the messages of each chat", _first_sync),
    ClientCase("long-chat", "gives the newest messages of a long chat, and the next one", _long_chat),
    ClientCase("new-chat", "gives the messages of a chat that is new after the sync", _new_chat),
    ClientCase("wrong-token", "ends, and does not try again, when its token is rejected", _wrong_token),
)
