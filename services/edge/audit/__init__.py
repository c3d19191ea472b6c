"""Where a message is on this node, and the search for lost ones. Begin with auditor.py."""
