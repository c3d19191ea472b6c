"""Manifests, dashboards, alerts and releases. Those that need a cluster are programs: `cluster_trial.py`."""
