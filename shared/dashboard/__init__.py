"""Dashboards of processes. Each service declares panels, which are sampled every two seconds. Its status page,
`dragoman top` and its Grafana dashboard show them."""
