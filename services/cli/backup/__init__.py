"""`dragoman backup` and `restore`. Begin with `command.py`, which describes a backup."""
