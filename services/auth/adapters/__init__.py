"""What auth's use cases need from outside: mail, keys, password hashes, NATS. Begin with `service/ports.py`."""
