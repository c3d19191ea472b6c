"""Auth announces to edges how users can register and recover accounts."""

from pathlib import Path

import pytest

from shared.contract.auth import Entrance, ListRevocations
from shared.settings.accounts import MailSettings, VerificationSettings
from tests.unit.services.auth.conftest import StartCluster, cheap_auth


@pytest.mark.parametrize(
    ("auth", "has_mail", "entrance"),
    [
        ({}, True, Entrance(True, True, True, 0)),
        ({}, False, Entrance(True, True, False, 0)),
        (
            {"recovery": False, "mail_recovery": "off", "password_min_characters": 8},
            True,
            Entrance(True, False, False, 8),
        ),
    ],
)
async def test_it_follows_the_settings(start: StartCluster, tmp_path: Path, auth: dict[str, object], has_mail: bool,
    entrance: Entrance,
) -> None:  # fmt: skip
    _, edge = await start(
        auth=cheap_auth(tmp_path / "keys").model_copy(update=auth),
        mail=MailSettings(outbox=tmp_path / "outbox" if has_mail else Path()),
        verification=VerificationSettings(registration=True),
    )
    assert (await edge.request(ListRevocations.route, ListRevocations())).entrance == entrance
