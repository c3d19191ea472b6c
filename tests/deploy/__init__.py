"""Tests manifests, dashboards, alerts and releases. Programs test real clusters: `cluster_drill.py`."""
