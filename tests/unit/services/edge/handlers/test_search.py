"""Searches that nobody answers."""

import time

import pytest

from services.edge.handlers.search import ClientSearches
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from shared.contract.search import SearchMessages
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.conftest import EdgeCluster


@pytest.mark.parametrize(("enabled", "text"), [(False, "switched off on this server"), (True, "not available now")])
async def test_a_search_without_a_service_is_rejected_at_once(cluster: EdgeCluster, enabled: bool, text: str) -> None:
    bus = (await cluster.add_edge()).bus
    began = time.monotonic()
    with pytest.raises(RequestError, match=text) as caught:
        await ClientSearches(bus, enabled, WAIT_SECONDS).search(SearchMessages("word"), AccountId(1))
    assert caught.value.failure.code is ErrorCode.UNAVAILABLE
    assert time.monotonic() - began < WAIT_SECONDS / 2
