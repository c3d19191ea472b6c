"""Manifests, dashboards, alerts and releases. Tests that need a cluster are programs: `cluster_drill.py`."""
