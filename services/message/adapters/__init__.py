"""The adapters of the service: delivery to edges (fan-out), member lists, leaders of partitions. Begin with
fanout.py."""
