"""tsc checks the types of native with the frames of the vectors, and the types in comments of the JavaScript code."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.docs.test_native_documents import VECTORS, frames

ROOT = Path(__file__).parents[2]
TSC = ROOT / "node_modules" / ".bin" / "tsc"
CHECKED = ("--allowJs", "--checkJs", "--lib", "esnext,dom,dom.iterable")
STRICT = ("--noEmit", "--strict", "--target", "esnext", "--module", "esnext", "--moduleResolution", "bundler")
MODULES = ("services/edge/http/web/first_page.js", "services/cli/overview/web/dashboard.js")

pytestmark = [pytest.mark.skipif(not TSC.exists(), reason="tsc is not installed: ./dev setup")]


def errors(*arguments: str | Path) -> list[str]:
    done = subprocess.run([TSC, *STRICT, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if "error TS" in line]


def test_the_types_of_native_hold_for_every_frame_of_the_vectors(tmp_path: Path) -> None:
    shown = [(shape, json.dumps(frame)) for vector in VECTORS for shape, frame in frames(vector)]
    shapes = ", ".join(sorted({shape for shape, _ in shown}))
    lines = [f"({text}) satisfies {shape} & {{ [more: string]: unknown }};" for shape, text in shown]
    module = ROOT / "clients" / "javascript" / "native"
    file = tmp_path / "frames.ts"
    file.write_text("\n".join([f'import type {{ {shapes} }} from "{module}";', *lines]))
    assert len(lines) > 100
    assert errors(file) == []
    file.write_text(
        'import type { SendCommand } from "' + str(module) + '";\n({ op: "send", id: 1 }) satisfies SendCommand;\n'
    )
    (error,) = errors(file)
    assert "SendCommand" in error


@pytest.mark.parametrize("module", MODULES)
def test_the_types_in_comments_are_sound(module: str) -> None:
    assert errors(*CHECKED, module) == []


def test_the_client_gives_its_callers_types(tmp_path: Path) -> None:
    file = tmp_path / "caller.ts"
    lines = [
        f'import {{ Dragoman, webStore }} from "{ROOT}/clients/javascript/dragoman.js";',
        'const client = new Dragoman("wss://chat.example", { store: webStore(), cursor: true });',
        'client.on("message", ({ chat, index }) => { client.read(chat, index); });',
        'const { account } = await client.call("profile", { account: 5 });',
        "account satisfies number;",
    ]
    file.write_text("\n".join([*lines, "export {};"]))
    assert errors(*CHECKED, file) == []
    file.write_text("\n".join([*lines, 'client.on("massage", () => {});', 'client.call("profile", { account: "5" });']))
    assert len(errors(*CHECKED, file)) == 2
