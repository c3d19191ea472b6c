"""One replica creates the first signing key. An operator rotates keys by adding a file."""

import re
import stat
import threading
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.auth.adapters.signing_keys import SigningKeys, delete, list_keys, rotate
from shared.contract.ids import AccountId
from shared.errors import StartupError
from shared.settings.accounts import AuthSettings
from shared.tokens import UnknownKey, Verifier

NOW = time.time()


@pytest.fixture
def auth(tmp_path: Path) -> AuthSettings:
    return AuthSettings(keys=tmp_path / "deep" / "keys", legacy_token_days=1)


def put(auth: AuthSettings, name: str, key: Ed25519PrivateKey | rsa.RSAPrivateKey) -> None:
    auth.keys.mkdir(parents=True, exist_ok=True)
    (auth.keys / name).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def test_the_first_start_creates_one_key_readable_by_its_owner_only(auth: AuthSettings) -> None:
    SigningKeys(auth)
    [path] = auth.keys.glob("*.pem")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(auth.keys.stat().st_mode) == 0o700
    assert SigningKeys(auth).public_keys() == SigningKeys(auth).public_keys()


def test_replicas_that_start_at_once_share_one_key(auth: AuthSettings) -> None:
    start, replicas = threading.Barrier(8), list[SigningKeys]()

    def replica() -> None:
        start.wait()
        replicas.append(SigningKeys(auth))

    threads = [threading.Thread(target=replica) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({signing_keys.public_keys().keys[0] for signing_keys in replicas}) == 1
    assert len(replicas) == 8


def test_a_token_is_valid_for_its_lifetime(auth: AuthSettings) -> None:
    signing_keys = SigningKeys(auth)
    token = signing_keys.issue(AccountId(7), NOW, 3)
    claims = Verifier(signing_keys.public_keys()).verify(token.text, NOW)
    assert (claims.account, claims.sid, claims.issued, claims.revision) == (7, token.sid, int(NOW), 3)
    assert claims.expires == token.expires == int(NOW + 86_400)
    other = signing_keys.issue(AccountId(7), NOW, 3)
    assert other.sid != token.sid
    assert Verifier(signing_keys.public_keys()).verify(other.text, NOW).jti != claims.jti
    assert token.text not in repr(token)


def test_the_last_by_name_signs_and_all_verify(auth: AuthSettings) -> None:
    put(auth, "2025-a.pem", Ed25519PrivateKey.generate())
    signing_keys = SigningKeys(auth)
    before = signing_keys.issue(AccountId(7), NOW, 3)
    old_list = Verifier(signing_keys.public_keys())
    put(auth, "2026-a.pem", Ed25519PrivateKey.generate())
    signing_keys.reload()
    after = signing_keys.issue(AccountId(7), NOW, 3)
    with pytest.raises(UnknownKey):
        old_list.verify(after.text, NOW)
    verifier = Verifier(signing_keys.public_keys())
    assert verifier.verify(before.text, NOW).sid == before.sid
    assert verifier.verify(after.text, NOW).sid == after.sid
    (auth.keys / "2025-a.pem").unlink()
    signing_keys.reload()
    with pytest.raises(UnknownKey):
        Verifier(signing_keys.public_keys()).verify(before.text, NOW)


def test_an_emptied_directory_keeps_the_loaded_keys(auth: AuthSettings) -> None:
    signing_keys = SigningKeys(auth)
    for path in auth.keys.glob("*.pem"):
        path.unlink()
    signing_keys.reload()
    assert signing_keys.public_keys().keys


@pytest.mark.parametrize("name", ["bad name.pem", "a.b.pem"])
def test_the_error_names_an_unusable_file_name(auth: AuthSettings, name: str) -> None:
    put(auth, name, Ed25519PrivateKey.generate())
    with pytest.raises(StartupError, match=re.escape(name)):
        SigningKeys(auth)


def test_the_error_names_an_unusable_key(auth: AuthSettings) -> None:
    put(auth, "rsa.pem", rsa.generate_private_key(65537, 2048))
    with pytest.raises(StartupError, match=r"rsa\.pem"):
        SigningKeys(auth)
    (auth.keys / "rsa.pem").write_text("no key at all")
    with pytest.raises(StartupError, match=r"rsa\.pem"):
        SigningKeys(auth)


def test_the_error_names_a_directory_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="file"):
        SigningKeys(AuthSettings(keys=tmp_path / "file" / "keys"))


def test_a_key_that_becomes_unreadable_changes_nothing(auth: AuthSettings) -> None:
    signing_keys = SigningKeys(auth)
    before = signing_keys.public_keys()
    (auth.keys / "z.pem").write_text("no key at all")
    signing_keys.reload()
    assert signing_keys.public_keys() == before


OLD, YOUNGER = "20200101000000-0a0a0a0a", "20200102000000-0b0b0b0b"


def test_a_rotation_creates_the_key_that_signs_from_now_on(auth: AuthSettings) -> None:
    put(auth, f"{OLD}.pem", Ed25519PrivateKey.generate())
    signing_keys = SigningKeys(auth)
    old = signing_keys.issue(AccountId(7), NOW, 3)
    made = rotate(auth.keys)
    assert stat.S_IMODE((auth.keys / f"{made}.pem").stat().st_mode) == 0o600
    signing_keys.reload()
    assert signing_keys.key_ids == [OLD, made]
    new = signing_keys.issue(AccountId(7), NOW, 3)
    verifier = Verifier(signing_keys.public_keys())
    assert [verifier.verify(token.text, NOW).sid for token in (old, new)] == [old.sid, new.sid]
    delete(auth.keys, OLD)
    signing_keys.reload()
    with pytest.raises(UnknownKey):
        Verifier(signing_keys.public_keys()).verify(old.text, NOW)


def test_a_new_key_never_comes_before_the_one_that_signs(auth: AuthSettings) -> None:
    put(auth, "z.pem", Ed25519PrivateKey.generate())
    with pytest.raises(ValueError, match="which must come after z"):
        rotate(auth.keys)
    assert [path.name for path in auth.keys.glob("*.pem")] == ["z.pem"]


def test_the_key_that_signs_is_not_deleted(auth: AuthSettings) -> None:
    put(auth, f"{OLD}.pem", Ed25519PrivateKey.generate())
    with pytest.raises(ValueError, match="signs: make another one first"):
        delete(auth.keys, OLD)
    with pytest.raises(ValueError, match="there is no key"):
        delete(auth.keys, YOUNGER)


def test_a_key_is_needed_until_its_last_token_expires(auth: AuthSettings) -> None:
    for name in (OLD, YOUNGER):
        put(auth, f"{name}.pem", Ed25519PrivateKey.generate())
    old, younger = list_keys(auth.keys, 1)
    assert (old.kid, old.made, younger.kid, younger.needed_until) == (OLD, 1577836800, YOUNGER, None)
    assert old.needed_until is not None
    assert old.needed_until - younger.made == 86_400 + 120
