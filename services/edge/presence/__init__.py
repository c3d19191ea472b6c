"""The accounts of this node, the node's lease, and profile summaries. Begin with local_accounts.py."""
