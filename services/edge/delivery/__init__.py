"""Delivery batches to local members, in order; gaps, losses, re-sync. Begin with receiver.py."""
