"""Dashboards of processes. Each service declares panels, which are sampled every two seconds. The status page,
`dragoman top` and Grafana show them."""
