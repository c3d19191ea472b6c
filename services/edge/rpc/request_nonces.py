"""Nonces of requests that a service carries out once, however often an edge or a client repeats them."""

import hashlib

from shared.contract.ids import AccountId
from shared.request_nonce import new_nonce


def request_nonce_of(actor: AccountId, name: str) -> str:
    """Of a request to which the account may have given a name: then the same one at each edge."""
    return hashlib.sha256(f"{actor} {name}".encode()).hexdigest() if name else new_nonce()
