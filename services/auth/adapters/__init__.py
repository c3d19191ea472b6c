"""The adapters of auth: mail, keys, password hashes, NATS. The ports are in `../service/ports.py`."""
