"""The Ed25519 keys that sign tokens. Each key is a file `<kid>.pem` in one directory. The key with the last name signs
tokens; all keys verify them.

`rotate` adds a key with a later name. `delete` removes an old key once its last token has expired. Running replicas
load both changes within a minute.
"""

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from services.auth.domain import IssuedToken
from shared.contract.auth import Keys, PublicKey
from shared.contract.ids import AccountId
from shared.errors import StartupError
from shared.settings.accounts import AuthSettings
from shared.telemetry import log
from shared.tokens import ALGORITHM, BOT_TYPE, TYPE

_log = log(__name__)
_KID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TIME_FORMAT = "%Y%m%d%H%M%S"
_DAY_SECONDS = 86_400
_ROLLOUT_SECONDS = 120.0
"""After this time, every replica signs with the new key."""


class SigningKeys:
    """The loaded keys. Implements TokenIssuer and PublicKeySource of services.auth.service.ports. The constructor
    raises StartupError when the directory cannot be used."""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        try:
            self._keys = ensure_keys(settings.keys)
        except (OSError, ValueError) as error:
            raise StartupError(
                f"the keys of tokens cannot be used: {error}",
                f"Let this user read and write {settings.keys} (auth.keys), or restore it from a backup",
            ) from error

    def reload(self) -> None:
        """Load added and deleted keys. If the directory cannot be read or is empty, the loaded keys stay in use."""
        try:
            keys = _read(self._settings.keys) or self._keys
        except (OSError, ValueError) as error:
            _log.error("keys not reloaded", error=str(error))
            return
        if keys.keys() != self._keys.keys():
            _log.info("keys changed", added=sorted(keys.keys() - self._keys), deleted=sorted(self._keys.keys() - keys))
        self._keys = keys

    @property
    def key_ids(self) -> list[str]:
        """The ids of all keys that verify tokens."""
        return sorted(self._keys)

    def issue(self, account: AccountId, now: float, revision: int, sid: str = "") -> IssuedToken:
        return self._issue(account, now, revision, sid, self._settings.legacy_token_days * _DAY_SECONDS)

    def issue_brief(self, account: AccountId, now: float, revision: int, sid: str = "") -> IssuedToken:
        """The token is never valid longer than other tokens, because revocations are stored only for that time."""
        longest = self._settings.legacy_token_days * _DAY_SECONDS
        seconds = min(self._settings.access_token_minutes * 60, longest)
        return self._issue(account, now, revision, sid, seconds)

    def issue_to_bot(
        self, account: AccountId, now: float, revision: int, scopes: Sequence[str], days: float, sid: str = ""
    ) -> IssuedToken:
        return self._issue(account, now, revision, sid, days * _DAY_SECONDS, scopes)

    def _issue(
        self, account: AccountId, now: float, revision: int, sid: str, seconds: float, scopes: Sequence[str] = ()
    ) -> IssuedToken:
        """`scopes`: the scopes of a bot's token, at least one."""
        kid = max(self._keys)
        token = IssuedToken("", sid or token_hex(16), int(now + seconds))
        claims = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": str(account),
            "sid": token.sid,
            "jti": hashlib.sha256(f"{token.sid} {int(now)}".encode()).hexdigest()[:32],
            "iat": int(now),
            "exp": token.expires,
            "rev": revision,
        }
        if scopes:
            claims["scope"] = " ".join(scopes)
        headers = {"kid": kid, "typ": BOT_TYPE if scopes else TYPE}
        text = jwt.encode(claims, self._keys[kid], ALGORITHM, headers=headers)
        return IssuedToken(text, token.sid, token.expires)

    def public_keys(self) -> Keys:
        keys = [PublicKey(kid, _public_pem(key)) for kid, key in sorted(self._keys.items())]
        return Keys(self._settings.issuer, self._settings.audience, keys)


def ensure_keys(directory: Path) -> dict[str, Ed25519PrivateKey]:
    """The keys by kid. If the directory is empty, this creates the first key. Raises OSError, ValueError."""
    return _read(directory) or _create_first(directory)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """`made`: Unix seconds. `needed_until`: the time (Unix seconds) at which the last token that this key may have
    signed expires; None for the key that signs now."""

    kid: str
    made: float
    needed_until: float | None


def list_keys(directory: Path, token_days: float) -> list[KeyFile]:
    """The keys, oldest first; the last one signs. Raises OSError, ValueError."""
    made = {kid: _created_at(directory / f"{kid}.pem") for kid in sorted(_read(directory))}
    successors = [*made.values()][1:]
    ends = [moment + _ROLLOUT_SECONDS + token_days * _DAY_SECONDS for moment in successors]
    return [KeyFile(*key) for key in zip(made, made.values(), [*ends, None], strict=False)]


def rotate(directory: Path) -> str:
    """Create the key that signs from now on. Returns its kid. Raises OSError, ValueError."""
    with _locked(directory / ".lock"):
        last, kid = max(_read(directory), default=""), _new_name()
        if kid <= last:
            raise ValueError(f"a new key would be called {kid}, which must come after {last}, the one that signs now")
        _write(directory / f"{kid}.pem", Ed25519PrivateKey.generate())
        return kid


def delete(directory: Path, kid: str) -> None:
    """Deletes a key that no longer signs. The tokens that the deleted key has signed become void. Raises OSError,
    ValueError."""
    with _locked(directory / ".lock"):
        keys = _read(directory)
        if kid not in keys:
            raise ValueError(f"there is no key {kid}")
        if kid == max(keys):
            raise ValueError(f"the key {kid} signs: make another one first")
        (directory / f"{kid}.pem").unlink()


def _created_at(path: Path) -> float:
    """Returns the time in the file's name (Unix seconds), because copying a file changes its modification time. If the
    name has no time, returns the modification time."""
    try:
        return datetime.strptime(path.stem[:14] + "+0000", _TIME_FORMAT + "%z").timestamp()
    except ValueError:
        return path.stat().st_mtime


def _new_name() -> str:
    return f"{time.strftime(_TIME_FORMAT, time.gmtime())}-{token_hex(4)}"


def _read(directory: Path) -> dict[str, Ed25519PrivateKey]:
    return {path.stem: _key(path) for path in directory.glob("*.pem")}


def _key(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is not an unencrypted private key in PEM format") from error
    if not isinstance(key, Ed25519PrivateKey) or not _KID.fullmatch(path.stem):
        raise ValueError(f"{path}: a key must be Ed25519, and its name must have only letters, digits, - and _")
    return key


def _create_first(directory: Path) -> dict[str, Ed25519PrivateKey]:
    """Creates the first key of an installation. Replicas that start at the same time get the same key."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(directory / ".lock"):
        if keys := _read(directory):
            return keys
        _write(directory / f"{_new_name()}.pem", Ed25519PrivateKey.generate())
        return _read(directory)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, key: Ed25519PrivateKey) -> None:
    """Write the file atomically, so that no reader sees half a key."""
    new = path.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _public_pem(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
