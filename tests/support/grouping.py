"""Sends all tests of one `xdist_group` to one worker.

pytest-xdist 3.8 does this by renaming tests, which pytest 9.2 does not allow. Without this module, each worker would
start every system again.

The tests of a module without a group also stay together, because the work of pytest-xdist grows with the number of
units. The units keep the order of the collection: the longest groups are first, and the many short modules are last.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from xdist.scheduler import LoadScopeScheduling


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "GroupScheduling | None":
    """A hook of pytest-xdist. A conftest.py imports it."""
    if config.getoption("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


class ModuleGroups(NamedTuple):
    """The groups of a test module.

    `whole` is the group of all its tests, or empty. `functions` are the groups of single tests.
    """

    whole: str
    functions: dict[str, str]

    def of(self, function: str) -> str:
        return self.functions.get(function, self.whole)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """A scheduling whose units of work are groups, and modules without a group."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, name = nodeid.partition("::")
        return groups_of(self.config.rootpath / path).of(name.partition("[")[0]) or path


@cache
def groups_of(path: Path) -> ModuleGroups:
    """Returns the groups that a test module names in its source.

    The source is parsed, because the controller imports no tests.
    """
    whole, functions = "", dict[str, str]()
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "pytestmark":
            whole = _group_in(statement.value)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            for decorator in statement.decorator_list:
                if group := _group_in(decorator):
                    functions[statement.name] = group
    return ModuleGroups(whole, functions)


def _group_in(marks: ast.expr) -> str:
    for node in ast.walk(marks):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "xdist_group":
            return str(ast.literal_eval(node.args[0]))
    return ""
