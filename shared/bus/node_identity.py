"""The identity of an edge node. A node's name ends with the fingerprint of a secret, so only the process that has this
secret can use the name.

As the user `node`, a process sends its secret to NATS with the password that all edges share. NATS then requests the
permissions from the auth service (auth callout). It grants only the subjects of the node with this fingerprint.
"""

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from hmac import compare_digest

from shared.contract.ids import NodeId

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}-[a-z2-7]{16}")
_SEPARATOR = "."


@dataclass(frozen=True)
class NodeIdentity:
    """`secret`: 64 hexadecimal digits. The secret leaves the process only for the login to NATS."""

    id: NodeId
    secret: str = field(repr=False)

    def password(self, shared: str) -> str:
        """The password of the user `node`. `shared`: the password of all edges."""
        return f"{shared}{_SEPARATOR}{self.secret}"


def new_identity(edge: str) -> NodeIdentity:
    """A new identity. `edge`: the name of the edge, which has letters, digits, `_` and `-`."""
    secret = secrets.token_hex(32)
    return NodeIdentity(NodeId(f"{edge}-{_fingerprint(secret)}"), secret)


def owns(node: str, secret: str) -> bool:
    """Whether `node` is a valid name that belongs to `secret`."""
    expected = _fingerprint(secret).encode()
    return bool(_NAME.fullmatch(node)) and compare_digest(node.rpartition("-")[2].encode(), expected)


def split_password(password: str) -> tuple[str, str]:
    """The shared password and the secret. Splits a node's password into both parts. If the password has another form,
    the shared password is empty."""
    shared, _, secret = password.rpartition(_SEPARATOR)
    return shared, secret


def _fingerprint(secret: str) -> str:
    """The fingerprint of a secret. It has 80 bits, so nobody can find another secret with the same fingerprint while
    the node runs."""
    return base64.b32encode(hashlib.sha256(secret.encode()).digest()[:10]).decode().lower()
