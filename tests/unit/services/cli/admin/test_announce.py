"""The operator's announcements: their recipients and their rate. No recipient gets an announcement twice."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry

from dragoman.main import main
from services.cli.admin import announce as announcing
from shared.bus.client import Bus
from shared.contract.admin import AccountList, AnnouncementsOpened, FindUser, ListAccounts, OpenAnnouncements, UserView
from shared.contract.body import unpack_segments
from shared.contract.errors import ErrorCode, Failure, RequestError
from shared.contract.ids import NO_ACCOUNT, SYSTEM_ACCOUNT, AccountId, ChatId, MessageId
from shared.contract.message import Draft, Posted, PostMessages, PostResults
from shared.contract.model import ProfileSummary, Text
from tests.support.servers import NatsServer
from tests.unit.services.cli.admin.recording_auth import RecordingTrail
from tests.unit.services.cli.installed import installed

SYSTEM_PROFILE = ProfileSummary("System", "u-h")
ACCOUNTS = 5
NAMES = {"1": 1, "ann@example.org": 1, "3": 3}


class FakeServices:
    """A fake of auth, session and message with five accounts.

    A page has two accounts, of which the first is online. Account n has the chat 100 + n.
    """

    def __init__(self, server: NatsServer) -> None:
        self.buses = [Bus(server.settings(name), name, CollectorRegistry()) for name in ("auth", "session", "message")]
        auth, session, message = self.buses
        auth.serve(FindUser.route, self._find)
        self.trail = RecordingTrail(auth)
        session.serve(ListAccounts.route, self._list)
        session.serve(OpenAnnouncements.route, self._open)
        message.serve(PostMessages.route, self._post)
        self.deleted: set[AccountId] = set()
        self.leaving: set[AccountId] = set()
        """Accounts that leave their chat before the message is posted."""
        self.online_unknown = False
        """Whether presence is unavailable."""
        self.fails_after = 1_000
        """The number of messages after which posts fail."""
        self.opened: list[list[AccountId]] = []
        self.drafts_received: list[Draft] = []

    async def _find(self, request: FindUser) -> UserView:
        if request.identifier not in NAMES:
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such account", "account")
        return UserView(
            account=AccountId(NAMES[request.identifier]), uuid="", email="", username="", nickname="", created=0,
            disabled=False, schemes=[], recoverable=False,
        )  # fmt: skip

    async def _list(self, request: ListAccounts) -> AccountList:
        if self.online_unknown and request.online:
            raise RequestError(ErrorCode.UNAVAILABLE, "who is online is not known")
        page = [AccountId(number) for number in range(request.after + 1, min(request.after + 2, ACCOUNTS) + 1)]
        return AccountList(page[:1] if request.online else page, page[-1] if page[-1] < ACCOUNTS else NO_ACCOUNT)

    async def _open(self, request: OpenAnnouncements) -> AnnouncementsOpened:
        self.opened.append(request.accounts)
        there = [account for account in request.accounts if account not in self.deleted]
        return AnnouncementsOpened({account: ChatId(100 + account) for account in there}, SYSTEM_PROFILE)

    async def _post(self, request: PostMessages) -> PostResults:
        if len(self.drafts_received) + len(request.drafts) > self.fails_after:
            return PostResults([None], {0: Failure(ErrorCode.UNAVAILABLE, "the database does not answer")})
        left = [place for place, draft in enumerate(request.drafts) if draft.chat - 100 in self.leaving]
        self.drafts_received += [draft for place, draft in enumerate(request.drafts) if place not in left]
        posted = [None if place in left else Posted(MessageId(1), 1, 1) for place in range(len(request.drafts))]
        return PostResults(posted, {place: Failure(ErrorCode.FORBIDDEN, "no member") for place in left})

    @property
    def chats(self) -> list[int]:
        return [draft.chat for draft in self.drafts_received]


@pytest.fixture
async def system(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[FakeServices]:
    system = FakeServices(nats_server)
    async with installed(nats_server, tmp_path, *system.buses):
        yield system


async def announce(directory: Path, *arguments: str, input: str = "") -> Result:
    command = ["admin", "announce", *arguments, "--data", str(directory)]
    return await asyncio.to_thread(CliRunner().invoke, main, command, input)


async def test_all_accounts_are_notified_by_the_system_account(system: FakeServices, tmp_path: Path) -> None:
    result = await announce(tmp_path, "Back at ten\n😀", "--yes", "--id", "monday")
    assert (result.exit_code, result.output) == (0, "5 of 5 accounts have the announcement monday\n")
    assert system.chats == [101, 102, 103, 104, 105]
    assert [(act.act, act.detail) for act in system.trail.acts] == [("announce", "monday to 5 accounts")]
    for draft in system.drafts_received:
        assert (draft.sender, draft.face, unpack_segments(draft.body)) == (
            SYSTEM_ACCOUNT,
            SYSTEM_PROFILE,
            (Text("Back at ten\n😀"),),
        )
    assert len({draft.nonce for draft in system.drafts_received}) == 1


async def nonce_sent(system: FakeServices, directory: Path, *arguments: str) -> int:
    system.drafts_received.clear()
    assert (await announce(directory, *arguments, "--to", "1", "--yes")).exit_code == 0
    (draft,) = system.drafts_received
    assert 0 <= draft.nonce < 2**63
    return draft.nonce


async def test_nonce_is_derived_from_text_or_id(system: FakeServices, tmp_path: Path) -> None:
    """The message service stores a nonce only once for each chat and sender."""
    plain = await nonce_sent(system, tmp_path, "Back at ten")
    assert await nonce_sent(system, tmp_path, "Back at ten") == plain
    assert await nonce_sent(system, tmp_path, "Back at two") != plain
    tuesday = await nonce_sent(system, tmp_path, "Back at ten", "--id", "tuesday")
    assert tuesday != plain
    assert await nonce_sent(system, tmp_path, "Back at two", "--id", "tuesday") == tuesday


async def test_announcement_needs_confirmation(system: FakeServices, tmp_path: Path) -> None:
    rejected = await announce(tmp_path, "hello", input="n\n")
    assert rejected.exit_code == 1
    assert rejected.output.startswith("Notify 5 accounts, at most 500 a second? [y/N]")
    assert system.opened == []
    assert (await announce(tmp_path, "hello", input="y\n")).exit_code == 0
    assert len(system.drafts_received) == ACCOUNTS


async def test_dry_run_only_counts(system: FakeServices, tmp_path: Path) -> None:
    assert (await announce(tmp_path, "hello", "--dry-run")).output == "5 accounts would be notified\n"
    assert (await announce(tmp_path, "hello", "--dry-run", "--to", "3")).output == "1 account would be notified\n"
    assert (system.opened, system.drafts_received) == ([], [])


async def test_named_accounts_are_notified_once(system: FakeServices, tmp_path: Path) -> None:
    named = ["--to", "3", "--to", "ann@example.org", "--to", "1"]
    assert (await announce(tmp_path, "hello", "--yes", *named)).exit_code == 0
    assert system.chats == [103, 101]


async def test_unknown_name_is_an_error_and_nothing_is_sent(system: FakeServices, tmp_path: Path) -> None:
    result = await announce(tmp_path, "hello", "--yes", "--to", "3", "--to", "nobody")
    assert (result.exit_code, "Error: nobody: there is no such account. Find the right name" in result.output) == (
        1,
        True,
    )
    assert system.opened == []


async def test_online_accounts_come_from_session(system: FakeServices, tmp_path: Path) -> None:
    assert (await announce(tmp_path, "hello", "--yes", "--online")).exit_code == 0
    assert system.chats == [101, 103, 105]
    system.online_unknown = True
    result = await announce(tmp_path, "hello", "--yes", "--online")
    assert (result.exit_code, "Error: who is online is not known. `dragoman doctor`" in result.output) == (1, True)


async def test_deleted_accounts_do_not_count(system: FakeServices, tmp_path: Path) -> None:
    system.deleted, system.leaving = {AccountId(2)}, {AccountId(4)}
    result = await announce(tmp_path, "hello", "--yes", "--id", "x")
    assert (result.exit_code, result.output) == (0, "3 of 5 accounts have the announcement x\n")


async def test_failure_reports_progress(system: FakeServices, tmp_path: Path) -> None:
    system.fails_after = 2
    result = await announce(tmp_path, "hello", "--yes", "--rate", "20")
    assert result.exit_code == 1
    reached = "2 of 5 accounts have the announcement. Repeat the command for the others"
    assert result.output == f"Error: the database does not answer: {reached}\n"


async def test_rate_is_even(system: FakeServices, tmp_path: Path) -> None:
    """Batches have the length of a tenth of a second. There is no pause after the last one."""
    began = time.monotonic()
    await announce(tmp_path, "hello", "--yes", "--rate", "20")
    assert time.monotonic() - began > 0.2
    assert [len(some) for some in system.opened] == [2, 2, 1]


async def test_batch_of_long_announcements_fits_a_bus_message(
    system: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing, "_MAX_BATCH_BYTES", 4 * (16_384 + 256))
    assert (await announce(tmp_path, "x" * 16_384, "--yes", "--rate", "10000")).exit_code == 0
    assert [len(some) for some in system.opened] == [4, 1]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["  "], "the text is empty"),
        (["é" * 8_193], "the text has at most 16384 bytes"),
        (["\udc80"], "is not UTF-8"),
        (["x", "--online", "--to", "1"], "exclude each other"),
        (["x", "--rate", "0"], "--rate"),
        ([], "TEXT"),
    ],
)
async def test_wrong_use_is_status_2(tmp_path: Path, arguments: list[str], reason: str) -> None:
    result = await announce(tmp_path, *arguments)
    assert result.exit_code == 2
    assert reason in result.output
