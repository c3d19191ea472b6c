"""The use cases of auth. `ports.py` names the parts that use cases need from outside. Begin with `login.py`."""
