"""The read-only outside world: Prometheus and MLflow, each behind a small port with deadlines and named errors."""
