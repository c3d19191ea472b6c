"""All tests. Those of a module are in `unit/`, in the tree of the source; CONTRIBUTING.md lists the other folders."""
