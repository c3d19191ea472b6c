"""The accounts of this node, its lease, their profile summaries. Begin with local_accounts.py."""
