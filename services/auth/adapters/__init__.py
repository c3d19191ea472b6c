"""The adapters of the auth service: mail, keys, password hashes, NATS. The ports are in `../service/ports.py`."""
