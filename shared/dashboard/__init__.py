"""What an operator watches of a process: rows declared by each service, sampled every two seconds, shown on its
operations page, by `dragoman top` and on its Grafana dashboard alike."""
