"""Senders have their current profile summaries, also when a notice of a change was lost."""

import asyncio
from collections.abc import Callable

import pytest

from shared.bus.client import pack
from shared.contract import subjects
from shared.contract.edge import Notify, ProfileChanged
from shared.contract.ids import AccountId
from shared.contract.message import PostMessages
from shared.contract.model import Profile, ProfileSummary
from shared.contract.session import GetProfileSummaries
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import TIMEOUT_SECONDS, EdgeClient

ANN, CHAT = AccountId(1), 7
_REFRESH = "services.edge.presence.profiles._REFRESH_SECONDS"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while not condition():
            await asyncio.sleep(0.005)


def stored_summary(town: EdgeCluster) -> ProfileSummary | None:
    return town.edges[0].accounts.by_account[ANN].summary


async def nickname_sent_by(town: EdgeCluster, ann: EdgeClient) -> str | None:
    """The nickname that is sent with a message of hers."""
    await ann.post(CHAT, "hello")
    summary = town.message.requests_of(PostMessages)[-1].drafts[-1].face
    return None if summary is None else str(summary.nickname)


@pytest.fixture
async def ann(town: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> EdgeClient:
    """Logged in; her summary has been refreshed since."""
    monkeypatch.setattr(_REFRESH, 0.02)
    await town.add_edge()
    town.backend.add_chat(CHAT, ANN)
    ann = await town.client(ANN)
    await until(lambda: len(town.session.requests_of(GetProfileSummaries)) >= 2)
    await until(lambda: not town.edges[0].accounts.stale_profiles)
    return ann


async def test_a_sender_s_summary_is_refreshed(town: EdgeCluster, ann: EdgeClient) -> None:
    town.session.nicknames[ANN] = "Ann II"
    assert await nickname_sent_by(town, ann) == "name-1"
    await until(lambda: stored_summary(town) == ProfileSummary("Ann II", "uuid-1"))
    assert await nickname_sent_by(town, ann) == "Ann II"


async def test_a_silent_account_s_summary_is_not_refreshed(town: EdgeCluster, ann: EdgeClient) -> None:
    requests = len(town.session.requests_of(GetProfileSummaries))
    await asyncio.sleep(0.2)
    assert len(town.session.requests_of(GetProfileSummaries)) == requests


async def test_a_summary_is_refreshed_after_the_login(town: EdgeCluster, ann: EdgeClient) -> None:
    """The change happens between the request at login and the login itself."""
    gate = town.session.block(GetProfileSummaries)
    requests = len(town.session.requests_of(GetProfileSummaries))
    bob = EdgeClient(town.edges[0].endpoint)
    bob.send(do="login", account=2)
    await town.session.until_requested(GetProfileSummaries, requests + 1)
    town.session.nicknames[AccountId(2)] = "Bob II"
    gate.set()
    await bob.reply_to(1)
    assert town.edges[0].accounts.by_account[AccountId(2)].summary == ProfileSummary("name-2", "uuid-2")
    await until(lambda: town.edges[0].accounts.by_account[AccountId(2)].summary == ProfileSummary("Bob II", "uuid-2"))


async def test_summaries_are_refreshed_after_a_loss(town: EdgeCluster, ann: EdgeClient) -> None:
    town.session.nicknames[ANN] = "Ann II"
    town.edges[0].resync.mark_stale("a loss")
    await until(lambda: stored_summary(town) == ProfileSummary("Ann II", "uuid-1"))


async def test_a_later_notice_wins_over_the_refresh(town: EdgeCluster, ann: EdgeClient) -> None:
    gate = town.session.block(GetProfileSummaries)
    requests = len(town.session.requests_of(GetProfileSummaries))
    town.session.nicknames[ANN] = "Ann II"
    await ann.post(CHAT, "hello")
    await town.session.until_requested(GetProfileSummaries, requests + 1)
    changed = ProfileChanged(Profile(id=ANN, uuid="uuid-1", nickname="Ann III"))
    await town.session.bus.publish(subjects.NOTIFY_ALL, pack(Notify(changed, [])))
    await until(lambda: stored_summary(town) == ProfileSummary("Ann III", "uuid-1"))
    gate.set()
    await asyncio.sleep(0.1)
    assert stored_summary(town) == ProfileSummary("Ann III", "uuid-1")


async def test_without_session_the_refresh_is_retried(
    town: EdgeCluster, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.presence.profiles._REQUEST_SECONDS", 0.1)
    gate = town.session.block(GetProfileSummaries)
    town.session.nicknames[ANN] = "Ann II"
    await ann.post(CHAT, "hello")
    await town.session.until_requested(GetProfileSummaries, len(town.session.requests_of(GetProfileSummaries)) + 2)
    assert stored_summary(town) == ProfileSummary("name-1", "uuid-1")
    gate.set()
    await until(lambda: stored_summary(town) == ProfileSummary("Ann II", "uuid-1"))
