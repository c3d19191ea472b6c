"""pip's own wheel from the package index, for a Python without ensurepip. Only the standard library."""

import configparser
import hashlib
import html.parser
import io
import os
import ssl
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path

PIP = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"


class Trouble(Exception):
    """An error that the user must know."""


def unpack_pip(place: Path) -> None:
    """Into a directory of packages. Raises Trouble."""
    page_address = (pip_option("index-url") or "https://pypi.org/simple").rstrip("/") + "/pip/"
    index = without_password(page_address)
    try:
        page = Links()
        page.feed(fetch(page_address).decode())
        wheel = fetch(urllib.parse.urljoin(page_address, page.found[PIP]))
    except KeyError:
        raise Trouble(f"there is no {PIP} at {index}") from None
    except (OSError, ValueError) as error:
        raise Trouble(f"{index} cannot be read: {error}") from error
    if hashlib.sha256(wheel).hexdigest() != PIP_SHA256:
        raise Trouble(f"the {PIP} at {index} is not the one expected")
    zipfile.ZipFile(io.BytesIO(wheel)).extractall(place)


class Links(html.parser.HTMLParser):
    """Addresses on a page of the package index, by file name."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get("href")
        if address:
            self.found[urllib.parse.urlsplit(address).path.rsplit("/", 1)[-1]] = address


def fetch(address: str) -> bytes:
    """Raises OSError; Trouble for another scheme than http(s)."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme not in ("https", "http"):
        raise Trouble(f"the package index must be an http(s) address, not {without_password(address)}")
    passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
    if parts.username:
        secret = urllib.parse.unquote(parts.password or "")
        passwords.add_password(
            None, without_password(address), urllib.parse.unquote(parts.username), secret, is_authenticated=True
        )
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=pip_option("cert"))),
        urllib.request.HTTPBasicAuthHandler(passwords),
    )
    with opener.open(without_password(address), timeout=60) as response:
        content: bytes = response.read()
    return content


def pip_option(name: str) -> str | None:
    """As pip would find it: its environment variable, then its configuration files, the most particular last."""
    value = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
    if value:
        return value
    library, home = Path("Library/Application Support/pip/pip.conf"), Path.home()
    files = [
        "/" / library, Path("/etc/pip.conf"), home / ".pip" / "pip.conf", home / library,
        Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf",
        Path(os.environ.get("PIP_CONFIG_FILE") or os.devnull),
    ]  # fmt: skip
    configuration = configparser.RawConfigParser()
    configuration.read(files)
    for section in ("install", "global"):
        if configuration.has_option(section, name):
            return configuration.get(section, name)
    return None


def without_password(address: str) -> str:
    parts = urllib.parse.urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
