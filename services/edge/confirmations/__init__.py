"""Confirms deliveries, and commits read state to the message service. Begin with confirmation.py."""
