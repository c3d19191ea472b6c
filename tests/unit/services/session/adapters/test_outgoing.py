"""Tests which responses count as failures of an outgoing webhook.

`tests/unit/shared/test_outgoing_http.py` tests the checks before a request.
"""

import pytest

from services.session.adapters.outgoing import HttpWebhookPoster
from services.session.service.ports import PostFailed
from shared.settings.messages import OutgoingWebhookSettings
from tests.support.webhook_receiver import WebhookReceiver


@pytest.mark.parametrize(("status", "is_gone"), [(302, False), (404, False), (410, True), (503, False)])
async def test_other_statuses_are_failures_and_no_redirect_is_followed(status: int, is_gone: bool) -> None:
    poster = HttpWebhookPoster(OutgoingWebhookSettings(permitted_networks=["127.0.0.0/8"]))
    with WebhookReceiver() as receiver:
        receiver.status_of = lambda _: status
        receiver.headers = {"Location": receiver.url(path="/elsewhere")}
        with pytest.raises(PostFailed, match=f"status {status}") as failed:
            await poster.post(receiver.url(), {"webhook-id": "5.1"}, b"{}")
    poster.close()
    assert failed.value.is_gone is is_gone
    assert [(one.path, one.headers["content-type"]) for one in receiver.received] == [
        ("/listen?key=1", "application/json")
    ]


async def test_an_address_that_is_not_permitted_is_a_failure() -> None:
    poster = HttpWebhookPoster(OutgoingWebhookSettings())
    with pytest.raises(PostFailed, match="cannot be reached"):
        await poster.post("https://127.0.0.1/", {}, b"{}")
    poster.close()
