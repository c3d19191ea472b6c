"""tsc checks the types: native's for the frames of its vectors, and those in the comments of the pages' JavaScript."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.docs.test_native_documents import VECTORS, frames

ROOT = Path(__file__).parents[2]
TSC = ROOT / "tests" / "system" / "web" / "node_modules" / ".bin" / "tsc"
STRICT = ("--noEmit", "--strict", "--target", "esnext", "--module", "esnext", "--moduleResolution", "bundler")
PAGES = ("services/edge/http/web/first_page.js", "services/cli/overview/web/dashboard.js")

pytestmark = [
    pytest.mark.skipif(not TSC.exists(), reason="tsc is not installed: npm ci --prefix tests/system/web"),
]


def errors(*arguments: str | Path) -> list[str]:
    done = subprocess.run([TSC, *STRICT, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return [line for line in done.stdout.splitlines() if "error TS" in line]


def test_the_types_of_native_hold_for_every_frame_of_the_vectors(tmp_path: Path) -> None:
    shown = [(shape, json.dumps(frame)) for vector in VECTORS for shape, frame in frames(vector)]
    shapes = ", ".join(sorted({shape for shape, _ in shown}))
    lines = [f"({text}) satisfies {shape} & {{ [more: string]: unknown }};" for shape, text in shown]
    module = ROOT / "docs" / "protocols" / "native"
    file = tmp_path / "frames.ts"
    file.write_text("\n".join([f'import type {{ {shapes} }} from "{module}";', *lines]))
    assert len(lines) > 100
    assert errors(file) == []
    file.write_text(
        'import type { SendCommand } from "' + str(module) + '";\n({ op: "send", id: 1 }) satisfies SendCommand;\n'
    )
    (error,) = errors(file)
    assert "SendCommand" in error


@pytest.mark.parametrize("page", PAGES)
def test_the_types_of_a_page_are_sound(page: str) -> None:
    assert errors("--allowJs", "--checkJs", "--lib", "esnext,dom,dom.iterable", page) == []
