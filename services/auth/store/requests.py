"""Stores the results of requests, so that a repeated request gets the same result. No result contains a secret: a
repetition signs tokens again, and derives refresh tokens from the request's nonce."""

from services.auth.tables import requests
from shared.contract.auth import Revocation
from shared.run_once import RequestResults

REVOKED = (Revocation, type(None))
"""The types of the result of a step that revokes tokens: None if there was nothing to revoke."""

_results = RequestResults(requests)
once, stored, purge = _results.once, _results.stored, _results.purge
