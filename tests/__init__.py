"""All tests of the repository.

The unit tests of a module are in `unit/`, in the same tree as its source. docs/develop/map.md lists the other tests.
"""
