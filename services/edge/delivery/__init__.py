"""Delivers batches to local members in order, and handles gaps, losses and re-syncs. Begin with receiver.py."""
