"""The use cases of the auth service. `ports.py` names the parts that use cases need from outside. Begin with
`login.py`."""
