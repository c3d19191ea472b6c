"""Tests the file of credentials."""

from pathlib import Path

import pytest

from local.credentials import load_or_make
from local.options import OperatorError


def test_damaged_credentials_have_a_remedy(tmp_path: Path) -> None:
    file = tmp_path / "credentials.json"
    file.write_bytes(b"{")
    with pytest.raises(OperatorError, match=f"{file} is damaged: .* a new push key"):
        load_or_make(file)
