"""All tests. The tests of a module are in `unit/`, in the tree of its source; docs/develop/map.md lists the other
tests."""
