"""The operator's commands: their requests, output and errors."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prometheus_client import CollectorRegistry

from dragoman.main import main
from shared.bus.client import Bus
from shared.contract.admin import Act, FindUser, SetMaintenance, UserView
from shared.contract.auth import DeleteAccount, IdentifierKind
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.routes import Ack
from shared.contract.subjects import DELETE_USER
from tests.support.servers import NatsServer
from tests.unit.services.cli.admin.recording_auth import RecordingTrail
from tests.unit.services.cli.installed import installed

UUID = "00000000-0000-4000-8000-000000000001"
ACTS = [("user", "register"), ("user", "login"), ("user", "recover"), ("admin", "kick")]
ANN = UserView(
    account=AccountId(7), uuid=UUID, email="ann@example.org", username="", nickname="Ann", created=0, disabled=False,
    schemes=["plain"], recoverable=False,
)  # fmt: skip


class FakeAuth:
    """A fake of auth that has Ann's account, and records requests."""

    def __init__(self, server: NatsServer) -> None:
        self.bus = Bus(server.settings("auth"), "auth", CollectorRegistry())
        self.requests: list[object] = []
        self.trail = RecordingTrail(self.bus)
        self.bus.serve(FindUser.route, self._find)
        self.bus.serve(DELETE_USER, self._do)
        self.bus.serve(SetMaintenance.route, self._do)

    async def _find(self, request: FindUser) -> UserView:
        known = {IdentifierKind.ID: ["7"], IdentifierKind.UUID: [UUID], IdentifierKind.ANY: ["ann@example.org", "7"]}
        if request.identifier not in known.get(request.kind, []):
            raise RequestError(ErrorCode.NOT_FOUND, "there is no such account", "account")
        self.requests.append(request.kind)
        return ANN

    async def _do(self, request: DeleteAccount | SetMaintenance) -> Ack:
        self.requests.append(request)
        return Ack()


@pytest.fixture
async def auth(nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[FakeAuth]:
    auth = FakeAuth(nats_server)
    async with installed(nats_server, tmp_path, auth.bus):
        yield auth


async def admin(directory: Path, *arguments: str, input: str = "") -> Result:
    command = ["admin", *arguments, "--data", str(directory)]
    return await asyncio.to_thread(CliRunner().invoke, main, command, input)


async def test_maintenance_is_sent_to_auth(auth: FakeAuth, tmp_path: Path) -> None:
    assert (await admin(tmp_path, "maintenance", "on")).output == "maintenance is on\n"
    assert (await admin(tmp_path, "maintenance", "off")).output == "maintenance is off\n"
    assert auth.requests == [SetMaintenance(True), SetMaintenance(False)]


async def test_settings_file_selects_the_system(auth: FakeAuth, nats_server: NatsServer, tmp_path: Path) -> None:
    own = nats_server.settings("admin")
    settings = tmp_path / "admin.toml"
    password = own.password.get_secret_value()
    settings.write_text(f'[nats]\nurl = "{own.url}"\nuser = "admin"\npassword = "{password}"\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert (await admin(elsewhere, "maintenance", "on", "--config", str(settings))).exit_code == 0
    assert auth.requests == [SetMaintenance(True)]


async def test_account_is_looked_up_by_number_first(auth: FakeAuth, tmp_path: Path) -> None:
    for name in ("ann@example.org", "7", UUID):
        assert "account        0000000007\n" in (await admin(tmp_path, "user", "find", name)).output
    assert auth.requests == [IdentifierKind.ANY, IdentifierKind.ID, IdentifierKind.UUID]
    assert '"email": "ann@example.org"' in (await admin(tmp_path, "user", "find", "7", "--json")).output


async def test_deletion_needs_confirmation(auth: FakeAuth, tmp_path: Path) -> None:
    for answer in ("n\n", ""):
        declined = await admin(tmp_path, "user", "delete", "7", input=answer)
        assert (declined.exit_code, "nothing was changed. Answer y, or give --yes" in declined.output) == (1, True)
    assert auth.requests == [IdentifierKind.ID, IdentifierKind.ID]
    assert (await admin(tmp_path, "user", "delete", "7", input="y\n")).exit_code == 0
    assert auth.requests[-1] == DeleteAccount(AccountId(7))
    assert (await admin(tmp_path, "user", "delete", "7", "--yes")).output == "account 7 is deleted\n"


async def test_error_is_one_sentence_and_status_1(auth: FakeAuth, tmp_path: Path) -> None:
    commands = "find disable enable reset-password made end-made sessions kick export delete".split()
    for arguments in (*(["user", command, "nobody"] for command in commands), ["audit", "9" * 20]):
        result = await admin(tmp_path, *arguments)
        assert (result.exit_code, len(result.output.splitlines())) == (1, 1), arguments
        assert result.output.startswith("Error: there is no such account. Find the right name by this command")


async def test_error_without_a_running_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("services.cli.admin.bus_client._CONNECT_SECONDS", 0.3)
    monkeypatch.setattr("services.cli.admin.dead_letters._CONNECT_SECONDS", 0.3)
    for command in (["maintenance", "on"], ["dead-letters", "list"]):
        result = await admin(tmp_path, *command, "--set", "nats.url=nats://127.0.0.1:1")
        assert result.exit_code == 1
        assert "NATS at nats://127.0.0.1:1 does not answer. Start the system" in result.output


async def test_error_for_a_wrong_password(nats_server: NatsServer, tmp_path: Path) -> None:
    settings = ["--set", f"nats.url={nats_server.settings('admin').url}", "--set", "nats.user=admin"]
    result = await admin(tmp_path, "maintenance", "on", *settings, "--set", "nats.password=wrong")
    assert result.exit_code == 1
    assert "rejects the connection" in result.output
    assert "Correct nats.user and nats.password" in result.output


async def test_wrong_use_is_status_2(tmp_path: Path) -> None:
    for arguments in ("maintenance maybe", "user find", "chat show x", "user kick", "frobnicate"):
        assert (await admin(tmp_path, *arguments.split())).exit_code == 2, arguments


async def test_the_audit_trail_is_listed(auth: FakeAuth, tmp_path: Path) -> None:
    acts = enumerate(ACTS, 1)
    auth.trail.acts += [Act(act, ANN.account, by, "192.0.2.1", time=at, number=at) for at, (by, act) in acts]
    result = await admin(tmp_path, "audit", "0000000007", "--limit", "3")
    assert [line.split()[3:6] for line in result.output.splitlines()[1:]] == [
        ["admin", "kick", "0000000007"], ["user", "recover", "0000000007"], ["user", "login", "0000000007"],
    ]  # fmt: skip
    assert auth.requests == [], "a number may be that of a deleted account"
