"""Delivers messages to local members in order, and handles gaps, losses and resyncs. Begin with receiver.py."""
