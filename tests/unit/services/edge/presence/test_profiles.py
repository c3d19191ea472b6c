"""Messages have the current profile summaries of their senders, even if the event of a change was lost."""

import asyncio

import pytest

from shared.bus.client import pack
from shared.contract import subjects
from shared.contract.edge import Notify, ProfileChanged
from shared.contract.ids import AccountId
from shared.contract.message import PostMessages
from shared.contract.model import Profile, ProfileSummary
from shared.contract.session import GetProfileSummaries
from tests.support.waiting import until
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.edge_client import EdgeClient

ANN, CHAT = AccountId(1), 7
_REFRESH = "services.edge.presence.profiles._REFRESH_SECONDS"


def stored_summary(cluster: EdgeCluster) -> ProfileSummary | None:
    return cluster.edges[0].accounts.by_account[ANN].summary


async def nickname_sent_by(cluster: EdgeCluster, ann: EdgeClient) -> str | None:
    """Returns the nickname that is sent with a message of this user."""
    await ann.post(CHAT, "hello")
    summary = cluster.message.requests_of(PostMessages)[-1].drafts[-1].face
    return None if summary is None else str(summary.nickname)


@pytest.fixture
async def ann(cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch) -> EdgeClient:
    """Ann, who is logged in. Her profile summary has been refreshed since."""
    monkeypatch.setattr(_REFRESH, 0.02)
    (ann,) = await cluster.chat(ANN)
    await until(lambda: len(cluster.session.requests_of(GetProfileSummaries)) >= 2)
    await until(lambda: not cluster.edges[0].accounts.stale_profiles)
    return ann


async def test_a_sender_s_summary_is_refreshed(cluster: EdgeCluster, ann: EdgeClient) -> None:
    cluster.session.nicknames[ANN] = "Ann II"
    assert await nickname_sent_by(cluster, ann) == "name-1"
    await until(lambda: stored_summary(cluster) == ProfileSummary("Ann II", "uuid-1"))
    assert await nickname_sent_by(cluster, ann) == "Ann II"


async def test_a_silent_account_s_summary_is_not_refreshed(cluster: EdgeCluster, ann: EdgeClient) -> None:
    requests = len(cluster.session.requests_of(GetProfileSummaries))
    await asyncio.sleep(0.2)
    assert len(cluster.session.requests_of(GetProfileSummaries)) == requests


async def test_a_summary_is_refreshed_after_the_login(cluster: EdgeCluster, ann: EdgeClient) -> None:
    """The profile changes between the request for it and the end of the login."""
    gate = cluster.session.block(GetProfileSummaries)
    requests = len(cluster.session.requests_of(GetProfileSummaries))
    bob = EdgeClient(cluster.edges[0].endpoint)
    bob.send(do="login", account=2)
    await cluster.session.until_requested(GetProfileSummaries, requests + 1)
    cluster.session.nicknames[AccountId(2)] = "Bob II"
    gate.set()
    await bob.reply_to(1)
    await until(
        lambda: cluster.edges[0].accounts.by_account[AccountId(2)].summary == ProfileSummary("Bob II", "uuid-2")
    )
    assert len(cluster.session.requests_of(GetProfileSummaries)) > requests + 1, "the first reply was older"


async def test_summaries_are_refreshed_after_a_loss(cluster: EdgeCluster, ann: EdgeClient) -> None:
    cluster.session.nicknames[ANN] = "Ann II"
    cluster.edges[0].resync.mark_stale("a loss")
    await until(lambda: stored_summary(cluster) == ProfileSummary("Ann II", "uuid-1"))


async def test_a_later_event_wins_over_the_refresh(cluster: EdgeCluster, ann: EdgeClient) -> None:
    gate = cluster.session.block(GetProfileSummaries)
    requests = len(cluster.session.requests_of(GetProfileSummaries))
    cluster.session.nicknames[ANN] = "Ann II"
    await ann.post(CHAT, "hello")
    await cluster.session.until_requested(GetProfileSummaries, requests + 1)
    changed = ProfileChanged(Profile(id=ANN, uuid="uuid-1", nickname="Ann III"))
    await cluster.session.bus.publish(subjects.NOTIFY_ALL, pack(Notify(changed, [])))
    await until(lambda: stored_summary(cluster) == ProfileSummary("Ann III", "uuid-1"))
    gate.set()
    await asyncio.sleep(0.1)
    assert stored_summary(cluster) == ProfileSummary("Ann III", "uuid-1")


async def test_without_session_the_refresh_is_retried(
    cluster: EdgeCluster, ann: EdgeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.edge.presence.profiles._REQUEST_SECONDS", 0.1)
    gate = cluster.session.block(GetProfileSummaries)
    cluster.session.nicknames[ANN] = "Ann II"
    await ann.post(CHAT, "hello")
    await cluster.session.until_requested(
        GetProfileSummaries, len(cluster.session.requests_of(GetProfileSummaries)) + 2
    )
    assert stored_summary(cluster) == ProfileSummary("name-1", "uuid-1")
    gate.set()
    await until(lambda: stored_summary(cluster) == ProfileSummary("Ann II", "uuid-1"))
