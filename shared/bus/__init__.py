"""Requests, publishing and durable events over NATS. Begin with client.py."""
