"""What each stage of a message takes: `./dev bench`. Begin with `stages.py`."""
