"""What search's use cases need from outside."""
