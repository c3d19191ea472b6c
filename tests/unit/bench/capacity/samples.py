"""Round costs."""

from bench.capacity.costs import Costs

COSTS = Costs(
    "2 cores", "2026-01-01", 150,
    batched={"edge": 40.0, "message": 20.0, "nats": 4.0, "valkey": 1.0},
    alone={"edge": 400.0, "message": 1_000.0, "nats": 100.0, "valkey": 50.0},
    delivery={"edge": 5.0, "message": 0.5},
    login={"edge": 300.0, "session": 200.0},
    idle=2.0, kib=8.0, nats=(2_000.0, 10.0), client=(500.0, 200.0),
    rows={"account": 400.0, "membership": 50.0, "message": 200.0},
)  # fmt: skip
