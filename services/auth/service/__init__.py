"""Auth's use cases; `ports.py` says what they need from outside. Begin with `login.py`."""
