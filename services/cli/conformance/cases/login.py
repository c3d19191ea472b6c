"""Cases of the login and the first sync."""

from services.cli.conformance.trial import GROUP, OTHER_GROUP, Case, Trial


async def _first_sync(trial: Trial) -> None:
    trial.chats.fill(GROUP, 3)
    trial.chats.fill(OTHER_GROUP, 2)
    await trial.connect()
    await trial.connected()
    await trial.given(GROUP, 3)
    await trial.given(OTHER_GROUP, 2)


async def _long_chat(trial: Trial) -> None:
    trial.chats.fill(GROUP, 250)
    await trial.connect()
    peer = await trial.connected()
    await trial.given(GROUP, 250)
    await peer.push(*trial.chats.fill(GROUP, 1))
    await trial.given(GROUP, 251)


async def _new_chat(trial: Trial) -> None:
    peer = await trial.started(1)
    await peer.push(*trial.chats.fill(OTHER_GROUP, 2))
    await trial.given(OTHER_GROUP, 2)


async def _wrong_token(trial: Trial) -> None:
    await trial.connect("another token")
    await trial.ended("after its token was rejected")


CASES = (
    Case("first-sync", "logs in by a token, syncs, and gives the messages of each chat", _first_sync),
    Case("long-chat", "gives the newest messages of a long chat, and the next one", _long_chat),
    Case("new-chat", "gives the messages of a chat that is new after the sync", _new_chat),
    Case("wrong-token", "ends, and does not try again, when its token is rejected", _wrong_token),
)
