"""A pytest plugin (`-p tests.system.patience`) for the conformance suite, whose own bound for a reply is for a quiet
machine: here a frame that must come may take WAIT_SECONDS."""

import importlib
import inspect
from types import FunctionType, ModuleType

from tests.support.waiting import WAIT_SECONDS


def pytest_collection_finish() -> None:
    wire = importlib.import_module("wire")
    bound = wire.TIMEOUT
    for module in (wire, importlib.import_module("mailbox_reader")):
        for function in _functions(module):
            defaults = function.__defaults__ or ()
            function.__defaults__ = tuple(WAIT_SECONDS if default == bound else default for default in defaults)
        vars(module)["TIMEOUT"] = WAIT_SECONDS


def _functions(module: ModuleType) -> list[FunctionType]:
    classes = [
        member for _, member in inspect.getmembers(module, inspect.isclass) if member.__module__ == module.__name__
    ]
    return [function for place in (module, *classes) for _, function in inspect.getmembers(place, inspect.isfunction)]
