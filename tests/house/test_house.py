"""The repository follows its own rules about sizes of files, functions and constructors, about names, and more."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from dragoman.main import main
from local.settings_table import page
from tests.house.vocabulary import PRODUCT, parsed, read
from tests.support.commands import subcommands

ROOT = Path(__file__).parents[2]
_VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base_utils"}
_LONGEST_FILE, _LONGEST_FUNCTION = 600, 60
_MOST_PARAMETERS = 7
_GENERATED = ROOT / "dragoman_client" / "native.py"


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S607
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


SOURCES = tracked("*.py", "dev")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_sources_are_found() -> None:
    assert len(SOURCES) > 50 or not (ROOT / ".git").exists()


def test_no_module_has_a_vague_name() -> None:
    assert [path for path in SOURCES if path.stem in _VAGUE] == []


def test_files_and_functions_fit_in_the_head() -> None:
    long = []
    for path in SOURCES:
        text = path.read_text()
        if path != _GENERATED and text.count("\n") > _LONGEST_FILE:
            long.append(str(path))
        long += [
            f"{path}:{node.name}"
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (node.end_lineno or 0) - node.lineno >= _LONGEST_FUNCTION
        ]
    assert long == []


def constructor_parameters(constructor: ast.FunctionDef) -> int:
    """Returns the number of parameters that the caller may give. `self` and `cls` do not count."""
    declared = constructor.args
    named = [*declared.posonlyargs, *declared.args, *declared.kwonlyargs]
    return len(named) - 1 + sum(rest is not None for rest in (declared.vararg, declared.kwarg))


def test_a_constructor_has_at_most_seven_parameters() -> None:
    """The rule is about classes with collaborators.

    The constructors of records (dataclasses, named tuples, msgspec structs, settings) are generated from their fields,
    and may have more parameters.
    """
    constructors = {
        f"{file}:{owner.name}": constructor_parameters(method)
        for file, tree in read(PRODUCT).items()
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for method in owner.body
        if isinstance(method, ast.FunctionDef) and method.name in ("__init__", "__new__")
    }
    assert len(constructors) > 150
    assert [name for name, parameters in constructors.items() if parameters > _MOST_PARAMETERS] == []


def test_every_tests_folder_is_a_package() -> None:
    folders = {path.parent for path in tracked("tests/*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_the_lock_has_versions_and_hashes_and_no_addresses() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "--index-url" not in lock
    blocks = re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", lock, flags=re.MULTILINE).strip())
    assert [block for block in blocks if "==" not in block or "--hash=sha256:" not in block] == []


def locked_versions() -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))


def dependencies() -> list[str]:
    named = PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]
    return [re.split(r"[\[<>=]", one)[0] for one in named]


@pytest.mark.parametrize("name", dependencies())
def test_a_dependency_is_locked_and_has_its_reason(name: str) -> None:
    assert name in locked_versions()
    assert f"\n| {name} | " in (ROOT / "docs/develop/dependencies.md").read_text()


def test_no_reason_is_given_for_what_is_no_dependency() -> None:
    reasons = re.findall(r"^\| ([a-z0-9-]+) \|", (ROOT / "docs/develop/dependencies.md").read_text(), re.MULTILINE)
    assert sorted(set(reasons) - {"package"}) == sorted(dependencies())


def test_the_page_of_settings_has_all() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text()
    assert page(text) == text, "run `./dev docs`"


def test_the_dev_script_passes_every_command_of_dragoman_on() -> None:
    usage = subprocess.run([ROOT / "dev"], capture_output=True, text=True, check=True).stdout
    explained = set(re.findall(r"^  (\w+) +\w", usage, re.MULTILINE))
    own = {"test", "lint", "stages", "drill", "wheels", "docs", "screens", "web", "setup"}
    assert explained == {*subcommands(main), *own}


def test_the_dev_script_is_parsed_by_an_older_python() -> None:
    ast.parse((ROOT / "dev").read_text(), feature_version=(3, 7))


def test_an_operators_error_has_a_remedy() -> None:
    """The types of CommandFailed, OperatorError and StartupError require a remedy.

    UsageError shows the usage instead.
    """
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in tracked("*.py")
        if path.relative_to(ROOT).parts[0] in ("services", "local", "bench", "dragoman")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Raise) and node.exc is not None and "ClickException(" in ast.unparse(node.exc)
    ]
    assert found == []
