"""Runs the curl commands on the pages for developers as printed, except for addresses, numbers and secrets."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.cluster import Cluster
from tests.system.shown_blocks import ReaderShell, blocks

pytestmark = pytest.mark.xdist_group("system")
HTTP, BOTS, UPLOADS = "docs/protocols/native/http.md", "docs/build/bots-and-webhooks.md", "docs/build/uploads.md"
PART = b"part of a holiday"


class Developer(NamedTuple):
    """A developer who has an account and a group."""

    shell: ReaderShell
    token: str
    chat: str

    def run(self, page: str, number: int, replaced: Mapping[str, str]) -> str:
        """Runs a block of the page. Blocks are counted from 0."""
        text = blocks(page, "sh")[number].text
        for printed, own in {'"chat": 7': f'"chat": {self.chat}', **replaced}.items():
            text = text.replace(printed, own)
        return self.shell.run(text, {"TOKEN": self.token})

    def call(self, operation: str, **parameters: object) -> str:
        body, address = json.dumps(parameters), f"http://127.0.0.1:8080/api/v1/{operation}"
        return self.shell.run(f"""curl --silent --json '{body}' -H "Authorization: Bearer {self.token}" {address}""")


@pytest.fixture
def developer(system: Cluster, tmp_path: Path) -> Developer:
    shell = ReaderShell(tmp_path, system.edges)
    name = f"dev-{abs(hash(tmp_path))}"
    base, register = (block.text for block in blocks("docs/start/build-an-app.md", "sh")[:2])
    script = f"{base}{register}".replace('"username": "ann"', f'"username": "{name}"')
    shown = shell.run(f"{script}\necho; echo TOKEN $TOKEN; echo CHAT $CHAT; echo {name} > name")
    token, chat = re.findall(r"^(?:TOKEN|CHAT) (\S+)$", shown, re.MULTILINE)
    return Developer(shell, token, chat)


def test_operations_by_http(developer: Developer) -> None:
    name = (developer.shell.directory / "name").read_text().strip()
    own = {'"ann"': f'"{name}"', "…": "orange juice", "/events": "/events --max-time 3 || true"}
    shown = developer.run(HTTP, 0, own)
    assert '"token":' in shown
    assert '"index":2' in shown
    assert '"ev":"' in shown, "the stream begins with the position"


def test_an_incoming_webhook(developer: Developer) -> None:
    assert '"index":2' in developer.run(BOTS, 0, {"TOKEN=…  #": "#"})
    secret = json.loads(developer.call("create_hook", chat=int(developer.chat), name="Disk"))["secret"]
    assert developer.run(BOTS, 1, {"SECRET": secret}).strip() == "ok"


def test_uploads(developer: Developer) -> None:
    (developer.shell.directory / "cat.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (developer.shell.directory / "holiday.mp4").write_bytes(PART)
    assert json.loads(developer.run(UPLOADS, 0, {}))["mime"] == "image/png"
    create, _, append = blocks(UPLOADS, "sh")[1].text.partition("curl -T")
    shown = developer.shell.run(create.replace("70000000", str(len(PART))), {"TOKEN": developer.token})
    (place,) = re.findall(r"(?i)^location: \S*/media/uploads/(\S+)", shown, re.MULTILINE)
    done = developer.shell.run(f"curl -T{append}".replace("/ID", f"/{place}"), {"TOKEN": developer.token})
    assert json.loads(done)["size"] == len(PART)
