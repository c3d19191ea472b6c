"""Compiles the packages of this environment without docstrings and assertions, as Python's -OO does for all modules.
Each process then takes 5 MiB less memory. The product's own assertions stay: it is installed later."""

import py_compile
import sysconfig
from importlib.util import cache_from_source
from pathlib import Path

for path in Path(sysconfig.get_path("purelib")).rglob("*.py"):
    py_compile.compile(str(path), cache_from_source(path), optimize=2)
