"""What a script or a test really runs: commands of a shell, and calls that a test function reaches."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_PRINTS = re.compile(r"(?:echo|fail|printf|report|say|skip)\b[^|]*$")
_AFTERWARDS = re.compile(r"(?:^|\s)#.*|(?:\|\||&&|;|\{) (?:fail|say|skip|report)\b.*")
_LOOKS = {"count", "endswith", "findall", "fullmatch", "index", "match", "partition", "raises", "replace", "search",
          "split", "startswith", "sub"}  # fmt: skip
"""Functions whose arguments are texts to look for, not commands."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def shell_commands(script: str) -> str:
    """Its lines, without comments and what it only prints; a continued one is one."""
    joined = re.sub(r"\s*\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", script, flags=re.MULTILINE))
    lines = (_AFTERWARDS.sub("", line).strip() for line in joined.splitlines())
    return "\n".join(line for line in lines if line and not _PRINTS.match(line))


def reached_calls(module: str, test: str) -> str:
    """The calls of a test function and of the functions, fixtures and classes of its module that it uses, each as it is
    written; and lists that get a name, which commands mostly are. Raises LookupError if there is no such test."""
    functions = _functions(ast.parse(module))
    if test not in functions:
        raise LookupError(test)
    pending, seen, found = [test], set[str](), list[str]()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        for function in functions.get(name, ()):
            pending += [argument.arg for argument in function.args.args]
            for node in (node for statement in function.body for node in ast.walk(statement)):
                if (used := _called(node)) not in _LOOKS and _runs(node):
                    pending.append(used)
                    found.append(" ".join((ast.get_source_segment(module, node) or "").split()))
    return "\n".join(found)


def _functions(tree: ast.Module) -> dict[str, list[_Function]]:
    """By name; those of all methods of this name, and a class stands for its constructor."""
    found: dict[str, list[_Function]] = {}
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.ClassDef):
            found.setdefault(node.name, []).extend(_constructors(node))
    return found


def _constructors(node: ast.ClassDef) -> Iterator[_Function]:
    return (one for one in node.body if isinstance(one, _Function) and one.name == "__init__")


def _runs(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) or (
        isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.List)
    )


def _called(node: ast.AST) -> str:
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
        case _:
            return ""


def run_by(root: Path, place: str) -> str:
    """What a script (PATH) or a test (PATH::TEST) runs."""
    path, _, test = place.partition("::")
    text = (root / path).read_text()
    return reached_calls(text, test) if test else shell_commands(text)
