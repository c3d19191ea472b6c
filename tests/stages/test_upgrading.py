"""An upgrade with a small number of messages keeps and finds them."""

from pathlib import Path

from tests.stages.upgrading import OldInstallation, measure


def test_an_old_installation_is_upgraded_and_all_is_found(tmp_path: Path) -> None:
    installation = OldInstallation(tmp_path / "data", 600)
    installation.write()
    assert "600 messages in 2 chats" in measure(installation)[0]
