"""An account reads the messages that it has sent to a chat, in pages."""

from services.edge.app import Edge
from services.edge.canonical.commands import ExportMessages
from services.edge.handlers.accounts import OwnDataExporter
from services.edge.login.auth_requests import AuthRequests
from services.edge.login.auth_state import AuthState
from shared.contract.drafts import GetDraft, SavedDraft
from shared.contract.ids import AccountId, ChatId, NodeId
from shared.contract.message import GetHistory
from tests.unit.services.edge.conftest import EdgeCluster
from tests.unit.services.edge.handlers.test_history import PagedMessages

ME, OTHER, CHAT = AccountId(1), AccountId(2), ChatId(7)


async def test_pages_have_the_own_messages_alone_and_end(cluster: EdgeCluster, edge: Edge) -> None:
    """A page may contain no messages."""
    cluster.backend.add_chat(CHAT, ME, OTHER)
    for sender, texts in ((ME, ("a", "b")), (OTHER, ("c", "d", "e", "f", "g")), (ME, ("h",))):
        cluster.backend.commit_texts(CHAT, sender, *texts)
    service = PagedMessages(cluster)

    async def draft(request: GetDraft) -> SavedDraft:
        assert request.actor == ME
        return SavedDraft(3, "not sent")

    service.bus.serve(GetDraft.route, draft, queue="message")
    await cluster.run(service.bus)
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
