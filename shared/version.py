"""The version of the installed product."""

from importlib.metadata import version

VERSION = version("dragoman")
"""The version is read once, because parsing the metadata takes time. Processes that are forked later share the
result."""
