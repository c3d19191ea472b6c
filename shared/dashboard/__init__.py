"""Dashboards of processes: each service declares panels, which are sampled every two seconds and shown on its
operations page, by `dragoman top` and on its Grafana dashboard."""
