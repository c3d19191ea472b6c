"""The adapters of the service: fan-out, member lists, leaders of partitions. Begin with fanout.py."""
