"""Delivery confirmations, and read state on its way to the message service. Begin with confirmation.py."""
