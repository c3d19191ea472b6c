"""The results of requests are stored for ten minutes. Replicas of the previous version and of later versions may read
them.

So the types that a command may store can only grow. A new type is added after the existing ones. An existing type may
only get a field with a default, and only if it is stored as an object. A result that is stored as an array (a named
tuple) must not change, because the previous version rejects a longer one.
"""

import ast
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).parents[3]
RELEASED = Path(__file__).parent / "stored_results.json"
"""By service and use case, the kinds of result of each call.

To write this file again, run this test file as a module.
"""
_TEXTS = ("title", "description", "default")


def kinds_of(path: Path) -> Iterator[tuple[Any, ...]]:
    """Yields the kinds in each `once(step, *kinds)` of a module of use cases."""
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for call in ast.walk(ast.parse(path.read_text())):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "once":
            yield eval(f"({', '.join(map(ast.unparse, call.args[1:]))},)", vars(module))  # noqa: S307


def present() -> dict[str, list[list[Any]]]:
    found: dict[str, list[list[Any]]] = {}
    for path in sorted((ROOT / "services").glob("*/service/*.py")):
        for kinds in kinds_of(path):
            forms = found.setdefault(f"{path.parts[-3]}.{path.stem}", [])
            if (form := [_form(kind) for kind in kinds]) not in forms:
                forms.append(form)
    return found


def _form(kind: Any) -> Any:
    """Returns the JSON schema of the type, without texts and references."""
    (schema,), components = msgspec.json.schema_components([kind], ref_template="{name}")

    def plain(part: Any) -> Any:
        if isinstance(part, list):
            return [plain(one) for one in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return plain(components[part["$ref"]])
        return {name: plain(value) for name, value in sorted(part.items()) if name not in _TEXTS}

    return plain(schema)


def may_become(old: Any, new: Any) -> bool:
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(may_become, old, new))
    if not isinstance(old, dict) or not isinstance(new, dict):
        return bool(old == new)
    if "properties" in old and "properties" in new:
        fields, grown = old["properties"], new["properties"]
        return set(new.get("required", ())) <= set(old.get("required", ())) and all(
            name in grown and may_become(field, grown[name]) for name, field in fields.items()
        )
    return old.keys() == new.keys() and all(may_become(value, new[name]) for name, value in old.items())


def test_what_is_stored_only_grows() -> None:
    found = present()
    for use_case, released in json.loads(RELEASED.read_text()).items():
        for kinds in released:
            assert any(
                len(now) >= len(kinds) and all(map(may_become, kinds, now)) for now in found.get(use_case, [])
            ), f"{use_case} reads no more what the previous version has stored: {kinds}"


def test_the_released_list_is_complete() -> None:
    assert present() == json.loads(RELEASED.read_text()), "python -m tests.unit.shared.test_stored_results"


def test_the_rule() -> None:
    old = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    grown = {**old, "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
    assert may_become(old, grown)
    assert not may_become(old, {**grown, "required": ["a", "b"]})
    assert not may_become(grown, old)
    array = {"type": "array", "prefixItems": [{"type": "integer"}]}
    assert not may_become(array, {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}]})
    assert may_become({**array, "prefixItems": [old]}, {**array, "prefixItems": [grown]})
    assert not may_become({**array, "prefixItems": [grown]}, {**array, "prefixItems": [old]})


if __name__ == "__main__":
    RELEASED.write_text(json.dumps(present(), indent=1) + "\n")
