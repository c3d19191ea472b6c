"""The tests of each module, in the tree of the source."""
