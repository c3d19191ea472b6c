"""What the use cases need from outside: fan-out, member lists, leaders of partitions. Begin with fanout.py."""
