"""Rules for the passwords that users choose. Existing passwords stay valid."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from services.auth import verifiers
from services.auth.service.ports import PasswordHashing
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.model import Scheme, Secret


@dataclass(frozen=True, kw_only=True)
class NewPasswords:
    """Hashes new passwords. The rules concern plain passwords only: nothing is known of one that the client has hashed,
    and a service client's secret is not chosen by a user."""

    hasher: PasswordHashing
    min_characters: int
    common: Collection[str] = field(repr=False)
    """Rejected in any case of letters."""

    def check(self, secret: Secret) -> None:
        """Raises RequestError (`invalid`)."""
        if secret.scheme is not Scheme.PLAIN:
            return
        if len(secret.value) < self.min_characters:
            raise _unacceptable(f"the password needs at least {self.min_characters} characters")
        if secret.value.lower() in self.common:
            raise _unacceptable("this password is too common")

    async def hash(self, texts: Sequence[str]) -> list[str]:
        """See PasswordHashing."""
        return await self.hasher.hash(texts)

    async def verifiers(self, secret: Secret) -> dict[Scheme, str]:
        """Of a new password, by scheme. See PasswordHashing."""
        texts = verifiers.verifier_texts(secret)
        return dict(zip(texts, await self.hash(list(texts.values())), strict=True))


def _unacceptable(reason: str) -> RequestError:
    return RequestError(ErrorCode.INVALID, reason, "secret")
