"""Dashboards of processes: each service declares panels, which are sampled every two seconds and shown on the service's
status page, by `dragoman top` and on the service's Grafana dashboard."""
