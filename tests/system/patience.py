"""A pytest plugin (`-p tests.system.patience`) for the conformance suite, whose time limits are for a quiet machine.

With the plugin, an expected frame may take WAIT_SECONDS. Some tests themselves measure a time, such as the second for
which messages may be held back. They fail if the machine stops a process for half a second, so they get up to three
attempts.
"""

import gc
import importlib
import inspect
from types import FunctionType, ModuleType

import pytest
from _pytest.runner import runtestprotocol

from tests.support.waiting import WAIT_SECONDS

_MEASURES = {"AT_ONCE", "AT_LAST", "monotonic", "silent"}
"""Names that a test uses if it measures a time."""
_ATTEMPTS = 3


def pytest_collection_finish() -> None:
    gc.set_threshold(20_000)  # with Python's default of 700, the collector takes an eighth of the CPU time
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


def pytest_runtest_protocol(item: pytest.Function, nextitem: pytest.Item | None) -> bool | None:
    if not _MEASURES & {*item.function.__code__.co_names}:
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for _ in range(1, _ATTEMPTS):
        if not any(report.failed for report in reports):
            break
        importlib.import_module("world").World.forget()  # as after any failure, accounts and chats are not used again
        item._initrequest()
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
