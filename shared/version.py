"""The version of the installed product."""

from importlib.metadata import version

VERSION = version("dragoman")
"""Read once: the metadata are parsed as a mail, and processes that are forked later share the result."""
