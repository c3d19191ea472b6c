"""The packages of a release, each in an empty environment.

Both clients and two terminals of the page for beginners use the server that was installed from its wheel.
"""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.cluster import RELAXED, Cluster
from tests.support.commands import ROOT
from tests.support.javascript import NODE, WEBSOCKETS, needs_node
from tests.support.waiting import WAIT_SECONDS
from tests.system.shown_blocks import blocks
from tests.system.typed_client import TypedClient

pytestmark = pytest.mark.xdist_group("packages")

TOP_LEVEL = {"bench", "clients", "dragoman", "dragoman_client", "local", "services", "shared"}
"""The top-level packages in the server's wheel. Other wheels must not contain them."""
PYTHON_USERS = """
import asyncio, sys
from dragoman_client.client import Dragoman, text_of

async def main():
    async with Dragoman(sys.argv[1]) as ann, Dragoman(sys.argv[1]) as bob:
        await ann.register("Ann", "orange juice")
        await bob.register("Bob", "orange juice")
        ann.send(to=bob.account, text="Hello from Python!")
        async for event in bob:
            if event["ev"] == "message":
                print(text_of(event))
                break

asyncio.run(asyncio.wait_for(main(), 60))
"""
JAVASCRIPT_USERS = """
import { Dragoman } from "dragoman-client";
const [ann, bob] = [new Dragoman(process.argv[2]), new Dragoman(process.argv[2])];
const received = new Promise((resolve) => bob.on("message", ({ segments }) => resolve(segments[0].text)));
const secret = { scheme: "plain", value: "orange juice" };
await ann.register({ nickname: "Ann", secret });
const { account } = await bob.register({ nickname: "Bob", secret });
await ann.send({ to: account, text: "Hello from JavaScript!" });
console.log(await received);
ann.close();
bob.close();
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("packages")
    subprocess.run([sys.executable, "-m", "deploy.wheels", directory, "--pure"], cwd=ROOT, check=True)
    return directory


def make_environment(directory: Path, wheel: Path) -> Path:
    """Makes an environment with this wheel. Its dependencies are links to the tests' environment, so no package index
    is needed.

    Returns the directory of its programs.
    """
    venv.create(directory, symlinks=True)
    python = directory / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    (site,) = directory.glob("lib/python3*/site-packages")
    (metadata,) = site.glob("dragoman*.dist-info")
    _link(site, PathDistribution(metadata).requires or (), set())
    return python.parent


def _link(site: Path, requirements: Sequence[str], linked: set[str], extras: frozenset[str] = frozenset()) -> None:
    for requirement in map(Requirement, requirements):
        wanted = requirement.marker is None or any(requirement.marker.evaluate({"extra": one}) for one in (*extras, ""))
        key = f"{requirement.name}[{','.join(requirement.extras)}]"
        if not wanted or key in linked:
            continue
        linked.add(key)
        found = distribution(requirement.name)
        for file in found.files or ():
            link = Path(os.path.normpath(site / file))
            if not link.exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(str(found.locate_file(file)))
        _link(site, found.requires or (), linked, frozenset(requirement.extras))


def run(command: Sequence[str | Path], directory: Path) -> str:
    done = subprocess.run(
        command, cwd=directory, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=2 * WAIT_SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TESTS_"))}


@pytest.fixture(scope="module")
def programs(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the programs that the server's wheel installs."""
    (wheel,) = packages.glob("dragoman-*.whl")
    return make_environment(tmp_path_factory.mktemp("server") / "environment", wheel)


@pytest.fixture(scope="module")
def server(programs: Path) -> Iterator[Cluster]:
    """A system of the installed programs, with two edges."""
    directory = programs.parents[1]
    program = [str(programs / "dragoman"), "up"]
    with Cluster(directory / "data", *RELAXED, program=program, directory=directory) as server:
        yield server


def test_the_servers_wheel_is_an_application(packages: Path) -> None:
    (wheel,) = packages.glob("dragoman-*.whl")
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == TOP_LEVEL


def test_the_clients_wheel_needs_nothing_of_the_server(packages: Path) -> None:
    (wheel,) = packages.glob("dragoman_client-*.whl")
    files = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in files} == {"dragoman_client"}
    assert {"dragoman_client/py.typed", "dragoman_client/client/client.py", "dragoman_client/native.py"} < set(files)


def test_all_packages_have_one_version() -> None:
    server, client = (tomllib.loads((ROOT / name / "pyproject.toml").read_text()) for name in ("", "dragoman_client"))
    javascript = json.loads((ROOT / "clients" / "javascript" / "package.json").read_text())
    assert server["project"]["version"] == client["project"]["version"] == javascript["version"]


def test_the_client_in_python_sends_and_receives(packages: Path, server: Cluster, tmp_path: Path) -> None:
    (wheel,) = packages.glob("dragoman_client-*.whl")
    programs = make_environment(tmp_path / "environment", wheel)
    assert run([programs / "python", "-I", "-c", PYTHON_USERS, server.edges[0]], tmp_path) == "Hello from Python!\n"


@needs_node
@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm to pack with")
def test_the_client_in_javascript_sends_and_receives(packages: Path, server: Cluster, tmp_path: Path) -> None:
    (package,) = packages.glob("dragoman-client-*.tgz")
    (tmp_path / "package.json").write_text("{}")
    run(["npm", "install", "--silent", "--offline", "--no-audit", package], tmp_path)
    (tmp_path / "users.mjs").write_text(JAVASCRIPT_USERS)
    assert run([NODE, *WEBSOCKETS, "users.mjs", server.edges[0]], tmp_path) == "Hello from JavaScript!\n"
    assert {path.name for path in (tmp_path / "node_modules" / "dragoman-client").iterdir()} == {
        "dragoman.js", "dragoman.d.ts", "native.d.ts", "package.json",
    }  # fmt: skip


def is_typed(line: str, following: str) -> bool:
    """Returns whether the user types the line: it is a command, or a message, which the next line acknowledges."""
    return line.startswith("/") or following == "sent"


def play(client: TypedClient, lines: Sequence[str]) -> None:
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if is_typed(line, following):
            client.type(line)
        else:
            assert client.expect(line) == line


def test_two_terminals_chat_by_the_lines_of_the_page(programs: Path, server: Cluster) -> None:
    command = [str(programs / "dragoman"), "client"]
    with ExitStack() as stack:
        terminals = [
            stack.enter_context(TypedClient(edge, "--dialect", "service", command=command)) for edge in server.edges
        ]
        played = blocks("docs/start/first-chat.md", "console")
        assert len(played) == 4
        for number, block in enumerate(played):
            lines = block.text.splitlines()
            if number < 2:
                assert lines[0] == f"$ ./dev client ws://127.0.0.1:{8080 + number} --dialect service"
                assert terminals[number].expect("connected") == lines[1].replace(
                    f"ws://127.0.0.1:{8080 + number}", server.edges[number]
                )
                lines = lines[2:]
            play(terminals[number % 2], lines)
            if number >= 2:
                terminals[1 - number % 2].expect(lines[1])
