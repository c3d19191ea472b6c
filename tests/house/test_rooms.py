"""The packages of the code: few files have a single importer, the layers have no exceptions, and each package begins
with a line about its content.
"""

import ast
from collections import defaultdict
from pathlib import Path

from tests.house.test_house import PROJECT, ROOT, tracked
from tests.house.vocabulary import parsed

_PRODUCT = ("dragoman", "dragoman_client", "bench", "services", "local", "shared", "deploy")
_ONE_IMPORTER = 0.15
"""The greatest share of files that have only one importer.

Such a file makes the reader of its importer open another file. But two subjects in one file are worse, so these have
their own files: the PROXY protocol, each dialect's codec, each use case and its transactions, and what mypyc cannot
compile.
"""


def test_few_files_have_one_importer() -> None:
    files = {module(path): path for path in tracked("*.py") if path.relative_to(ROOT).parts[0] in _PRODUCT}
    importers: dict[str, set[str]] = defaultdict(set)
    for name, path in {**files, "dev": ROOT / "dev"}.items():
        for imported in imports(parsed(path)) & files.keys():
            importers[imported].add(name)
    counted = [name for name, path in files.items() if path.name != "__init__.py" and "migrations" not in path.parts]
    assert sum(len(importers[name]) == 1 for name in counted) <= _ONE_IMPORTER * len(counted)


def test_no_layer_has_an_exception() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    assert [one["name"] for one in contracts if one["type"] == "layers" and "ignore_imports" in one] == []


def test_the_product_imports_no_test() -> None:
    sources = [path for path in tracked("*.py", "dev") if path.relative_to(ROOT).parts[0] in (*_PRODUCT, "dev")]
    assert [path for path in sources if any(name.split(".")[0] == "tests" for name in imports(parsed(path)))] == []


def test_each_package_begins_with_a_line_about_its_content() -> None:
    """The packages of `tests/unit` need no such line, because they have the same tree as the source."""
    packages = [path for path in tracked("*__init__.py") if not path.is_relative_to(ROOT / "tests" / "unit")]
    assert [path for path in packages if not ast.get_docstring(ast.parse(path.read_text()))] == []


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST) -> set[str]:
    """Yields the imported modules. Also yields imported names, because these may be modules of a package."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
