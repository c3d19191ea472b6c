"""Compiles Python's own modules (`stdlib`) or the packages of this environment (`purelib`) without docstrings and
assertions, as Python's -OO does for all modules. Each process then takes 4 MiB less memory for the modules, which
images of Python do not compile, and 5 MiB less for the packages. The product's own assertions stay: it is installed
later."""

import py_compile
import sys
import sysconfig
from importlib.util import cache_from_source
from pathlib import Path

_, kind = sys.argv
root = Path(sysconfig.get_path(kind))
for path in root.rglob("*.py"):
    if "site-packages" not in path.relative_to(root).parts:
        py_compile.compile(str(path), cache_from_source(path), optimize=2, quiet=2)
