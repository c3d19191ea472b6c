"""Stores the results of requests, so that a repeated request gets the same result."""

from services.session.tables import request
from shared.run_once import RequestResults

_results = RequestResults(request)
once, stored, purge = _results.once, _results.stored, _results.purge
