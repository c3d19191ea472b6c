"""An account reads the messages that it has sent to a chat, in pages."""

from services.edge.canonical.commands import ExportMessages
from services.edge.handlers.accounts import OwnDataExporter
from services.edge.login.auth_requests import AuthRequests
from services.edge.login.auth_state import AuthState
from shared.contract.drafts import GetDraft, SavedDraft
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import GetHistory, History
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.fake_services import FakeService

ME, OTHER, CHAT = AccountId(1), AccountId(2), ChatId(7)
A_REPLY = 3


class ThreesOfMessages(FakeService):
    """A fake message service with at most three messages in a reply."""

    def __init__(self, cluster: EdgeCluster) -> None:
        super().__init__("message", cluster.nats)
        self._backend = cluster.backend
        self.bus.serve(GetHistory.route, self._history, queue="message")
        self.bus.serve(GetDraft.route, self._draft, queue="message")

    async def _draft(self, request: GetDraft) -> SavedDraft:
        assert request.actor == ME
        return SavedDraft(3, "not sent")

    async def _history(self, request: GetHistory) -> History:
        await self.record(request)
        messages = self._backend.chats[request.chat].messages
        return History(messages[request.start - 1 :][:A_REPLY], len(messages))


async def test_pages_have_the_own_messages_alone_and_end(cluster: EdgeCluster) -> None:
    """A page may contain no messages."""
    edge = await cluster.add_edge()
    cluster.backend.add_chat(CHAT, ME, OTHER)
    for sender, texts in ((ME, ("a", "b")), (OTHER, ("c", "d", "e", "f", "g")), (ME, ("h",))):
        cluster.backend.commit_texts(CHAT, sender, *texts)
    service = ThreesOfMessages(cluster)
    await service.bus.start()
    requests = AuthRequests(edge.bus, NodeId("edge"), AuthState())
    exporter = OwnDataExporter(edge.bus, requests)
    pages = [await exporter.messages(ExportMessages(CHAT), ME)]
    while pages[-1].more:
        pages.append(await exporter.messages(ExportMessages(CHAT, pages[-1].after), ME))
    assert [[shown.message.index for shown in page.messages] for page in pages] == [[1, 2], [], [8]]
    assert [page.after for page in pages] == [3, 6, 8]
    assert [page.draft for page in pages] == [SavedDraft(3, "not sent"), None, None]
    assert {shown.summary for page in pages for shown in page.messages} == {None}
    assert {(one.actor, one.all) for one in service.requests_of(GetHistory)} == {(ME, False)}
    after_all = await exporter.messages(ExportMessages(CHAT, 8), ME)
    assert (after_all.messages, after_all.after, after_all.more) == ((), 8, False)
    await service.bus.stop()
