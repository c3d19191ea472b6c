"""Tests which tokens of clients are valid while signing keys are rotated and retired."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from services.auth.adapters.signing_keys import SigningKeys, delete, ensure_keys, rotate
from services.edge.login import token_verifier
from services.edge.login.auth_state import AuthState
from services.edge.login.token_verifier import TokenVerifier
from services.edge.metrics import EdgeMetrics
from shared.bus.client import Bus
from shared.contract.auth import GetKeys, Keys, Revocation
from shared.contract.bots import TokenScope
from shared.contract.ids import AccountId
from shared.settings.accounts import AuthSettings
from shared.tokens import BadToken
from tests.support.servers import NatsServer

OLD = "20200101000000-0a0a0a0a"


@pytest.fixture
def keyring(tmp_path: Path) -> SigningKeys:
    """Signing keys, of which one is old."""
    directory = tmp_path / "keys"
    ensure_keys(directory)
    [first] = directory.glob("*.pem")
    first.rename(directory / f"{OLD}.pem")
    return SigningKeys(AuthSettings(keys=directory))


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
async def gate(
    nats_server: NatsServer, keyring: SigningKeys, registry: CollectorRegistry
) -> AsyncIterator[TokenVerifier]:
    async def keys(_: GetKeys) -> Keys:
        return keyring.public_keys()

    auth, edge = (Bus(nats_server.settings(name), name, CollectorRegistry()) for name in ("auth", "edge"))
    auth.serve(GetKeys.route, keys)
    await auth.start()
    await edge.start()
    gate = TokenVerifier(edge, EdgeMetrics(registry), AuthState())
    gate.revocations_loaded.set()
    yield gate
    await edge.stop()
    await auth.stop()


async def test_tokens_of_two_keys_are_valid_until_the_old_key_is_retired(
    gate: TokenVerifier, keyring: SigningKeys, tmp_path: Path
) -> None:
    directory = tmp_path / "keys"
    old = keyring.issue(AccountId(1), time.time(), 0)
    assert (await gate.check(old.text)).sid == old.sid

    rotate(directory)
    keyring.reload()
    gate.set_keys(keyring.key_ids)
    new = keyring.issue(AccountId(1), time.time(), 0)
    for token in (old, new):
        assert (await gate.check(token.text)).sid == token.sid

    delete(directory, OLD)
    keyring.reload()
    gate.set_keys(keyring.key_ids)
    with pytest.raises(BadToken):
        await gate.check(old.text)
    assert (await gate.check(new.text)).sid == new.sid


async def test_tokens_of_unknown_keys_cause_few_requests(
    gate: TokenVerifier, keyring: SigningKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests, public_keys = list[Keys](), keyring.public_keys

    def noted() -> Keys:
        requests.append(public_keys())
        return requests[-1]

    monkeypatch.setattr(keyring, "public_keys", noted)
    monkeypatch.setattr(token_verifier, "_KEYS_SECONDS", 1000.0)
    ensure_keys(tmp_path / "others")
    others = SigningKeys(AuthSettings(keys=tmp_path / "others"))
    for _ in range(3):
        with pytest.raises(BadToken):
            await gate.check(others.issue(AccountId(1), time.time(), 0).text)
    assert len(requests) == 1
    rotate(tmp_path / "keys")
    keyring.reload()
    monkeypatch.setattr(token_verifier, "_KEYS_SECONDS", 0.0)
    new = keyring.issue(AccountId(1), time.time(), 0)
    assert (await gate.check(new.text)).sid == new.sid
    assert len(requests) == 2


async def test_invalid_tokens_are_counted_by_reason(
    gate: TokenVerifier, keyring: SigningKeys, registry: CollectorRegistry
) -> None:
    for token in ("nonsense", keyring.issue(AccountId(1), time.time() - 10**9, 0).text):
        with pytest.raises(BadToken):
            await gate.check(token)
    counted = {
        sample.labels["reason"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "dragoman_edge_token_failures_total"
    }
    assert counted == {"unreadable": 1, "expired": 1}


async def test_a_bot_s_token_is_valid_only_where_its_scopes_are_respected(
    gate: TokenVerifier, keyring: SigningKeys, registry: CollectorRegistry
) -> None:
    made = keyring.issue_to_bot(AccountId(9), time.time(), 0, ["send"], days=1)
    assert (await gate.check_with_scopes(made.text)).scopes == frozenset({TokenScope.SEND})
    with pytest.raises(BadToken):
        await gate.check(made.text)
    assert registry.get_sample_value("dragoman_edge_token_failures_total", {"reason": "bot"}) == 1
    gate.revoked([Revocation(1, AccountId(9), made.sid, made.expires)])
    with pytest.raises(BadToken):
        await gate.check_with_scopes(made.text)


async def test_a_revocation_is_forgotten_when_it_is_not_listed_any_more(
    gate: TokenVerifier, keyring: SigningKeys
) -> None:
    one, other = (keyring.issue(AccountId(account), time.time(), 0) for account in (1, 2))
    gate.revoked([Revocation(1, AccountId(1), one.sid, 0), Revocation(2, AccountId(2), "", 0)])
    gate.begin_list()
    gate.revoked([Revocation(2, AccountId(2), "", 0)])
    with pytest.raises(BadToken):
        await gate.check(one.text)
    gate.end_list()
    assert (await gate.check(one.text)).sid == one.sid
    with pytest.raises(BadToken):
        await gate.check(other.text)


async def test_a_revocation_of_all_tokens_is_known_by_its_number(gate: TokenVerifier, keyring: SigningKeys) -> None:
    """The clock of the replica that issued the second token is ahead. The revocations arrive in another order."""
    now = time.time()
    previous, ahead, after = (keyring.issue(AccountId(1), *one) for one in ((now, 3), (now + 20, 4), (now, 5)))
    gate.revoked([Revocation(5, AccountId(1), "", int(now) - 2), Revocation(4, AccountId(1), "", int(now))])
    for token in (previous, ahead):
        for check in (gate.check, gate.check_with_scopes):
            with pytest.raises(BadToken):
                await check(token.text)
    assert (await gate.check(after.text)).sid == after.sid
