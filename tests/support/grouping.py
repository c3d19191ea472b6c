"""Sends the tests of one `xdist_group` to one worker. pytest-xdist 3.8 does this by renaming tests, which pytest 9.2
does not allow: each worker would start every system again.

The tests of a module without a group stay together, too: xdist's work for each unit grows with the number of units. The
units keep the order of the collection, in which the longest groups come first, and the many short modules last.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from xdist.scheduler import LoadScopeScheduling


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> "GroupScheduling | None":
    """A hook, for a conftest."""
    if config.getoption("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


class ModuleGroups(NamedTuple):
    """`whole`: the group of all tests of a module, or empty; `functions`: the groups of single tests."""

    whole: str
    functions: dict[str, str]

    def of(self, function: str) -> str:
        return self.functions.get(function, self.whole)


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """The units of work are groups and modules."""

    def _split_scope(self, nodeid: str) -> str:
        path, _, name = nodeid.partition("::")
        return groups_of(self.config.rootpath / path).of(name.partition("[")[0]) or path


@cache
def groups_of(path: Path) -> ModuleGroups:
    """The groups that a test module names in its source: the controller imports no tests."""
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
