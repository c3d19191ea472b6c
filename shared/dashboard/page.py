"""The status page of a process: one HTML file. Its Content-Security-Policy permits only its own scripts and styles."""

import base64
import hashlib
import re
from pathlib import Path
from typing import NamedTuple

_FILE = Path(__file__).with_name("page.html")


class Page(NamedTuple):
    body: bytes
    policy: str
    """The Content-Security-Policy of the page."""


def load() -> Page:
    text = _FILE.read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; connect-src 'self'; script-src {_hash(text, 'script')}; style-src {_hash(text, 'style')};"
        " img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return Page(text.encode(), policy)


def _hash(text: str, element: str) -> str:
    content = re.findall(rf"<{element}>(.*?)</{element}>", text, re.DOTALL)
    assert len(content) == 1, element
    return f"'sha256-{base64.b64encode(hashlib.sha256(content[0].encode()).digest()).decode()}'"
