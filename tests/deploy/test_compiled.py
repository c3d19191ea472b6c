"""Tests how hot modules are compiled: which modules these are, and how builds run in the background of a checkout."""

import fcntl
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from inspect import getsource
from pathlib import Path
from pkgutil import walk_packages

import pytest

from deploy import compiled
from deploy.environment import ROOT
from tests.system.compiled import MODULES


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setattr(compiled, "CACHE", cache)
    return cache


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Makes each build create an empty directory. Returns a list to which each build is added."""
    made: list[Path] = []

    def build(source: Path) -> Path:
        made.append(source)
        packages = source.parent / "packages"
        packages.mkdir()
        return packages

    monkeypatch.setattr(compiled, "build_packages", build)
    return made


def test_a_copy_of_the_sources_has_their_fingerprint(tmp_path: Path) -> None:
    copy = compiled.copy_sources(tmp_path)
    assert compiled.fingerprint(copy) == compiled.fingerprint(ROOT)


@pytest.mark.parametrize("name", ["pyproject.toml", "services/edge/app.py", "shared/clock.py"])
def test_every_change_of_a_source_changes_the_fingerprint(tmp_path: Path, name: str) -> None:
    copy = compiled.copy_sources(tmp_path)
    before = compiled.fingerprint(copy)
    with (copy / name).open("a") as file:
        file.write("\n")
    assert compiled.fingerprint(copy) != before


def test_a_build_of_the_present_sources_is_found(builds: list[Path]) -> None:
    assert compiled.find() is None
    compiled.build()
    assert compiled.find() is not None
    assert len(builds) == 1


@pytest.mark.parametrize("file", ["Dockerfile", "docs/operate/choose.md"])
def test_the_same_flags_are_used_everywhere(file: str) -> None:
    flags = " ".join((*compiled.C_FLAGS, *compiled.GCC_FLAGS))
    assert f'CFLAGS="{flags}" ' in (ROOT / file).read_text()


@pytest.mark.parametrize("module", ["deploy.compiled", "deploy.web_client"])
def test_help_builds_nothing(module: str) -> None:
    shown = subprocess.check_output([sys.executable, "-m", module, "--help"], cwd=ROOT, text=True)
    assert shown.startswith(f"usage: python -m {module}")


def test_two_builds_do_not_run_at_once(cache: Path, builds: list[Path]) -> None:
    cache.mkdir()
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        compiled.build()
    assert not builds


def test_the_oldest_builds_are_removed(builds: list[Path], monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    names = iter(["one", "two", "three", "four"])
    for name in names:
        monkeypatch.setattr(compiled, "fingerprint", lambda _, name=name: name)
        compiled.build()
    assert sorted(path.name for path in cache.iterdir() if path.is_dir()) == ["four", "three", "two"]


def test_every_heir_of_a_compiled_class_is_compiled() -> None:
    """A plain Python subclass of a class compiled by mypyc cannot be instantiated (TypeError), unless the class permits
    such subclasses."""
    heirs = {
        f"{module}.{heir.__name__}"
        for module, heir in classes()
        if module not in MODULES and any(base.__module__ in MODULES and not permits(base) for base in heir.__mro__)
    }
    assert heirs == set()


def permits(base: type) -> bool:
    return getsource(base).startswith("@mypyc_attr(allow_interpreted_subclasses=True)")


def classes() -> Iterator[tuple[str, type]]:
    """Returns the classes of all packages of the product, with the modules that define them."""
    for package in ("dragoman", "bench", "services", "local", "shared", "dragoman_client"):
        for found in walk_packages([str(ROOT / package)], f"{package}."):
            if "migrations" in found.name or found.name.endswith("__main__"):
                continue
            for one in vars(import_module(found.name)).values():
                if isinstance(one, type) and one.__module__ == found.name:
                    yield found.name, one
