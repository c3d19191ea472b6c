"""The signature of an outgoing hook's requests, as Standard Webhooks says. Pure."""

import base64
import hashlib
import hmac

from shared.contract.ids import ChatId

_SECRET_PREFIX = "whsec_"  # noqa: S105


def secret_of(key: bytes) -> str:
    """The form in which users get a key."""
    return _SECRET_PREFIX + base64.b64encode(key).decode()


def webhook_id(chat: ChatId, index: int) -> str:
    """The same for each attempt, and for a replay."""
    return f"{chat}.{index}"


def sign(secret: str, number: str, timestamp: int, body: bytes) -> str:
    """The header webhook-signature. `timestamp`: Unix seconds."""
    key = base64.b64decode(secret.removeprefix(_SECRET_PREFIX))
    digest = hmac.digest(key, f"{number}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def signed_headers(secret: str, number: str, timestamp: int, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": number,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, number, timestamp, body),
    }
