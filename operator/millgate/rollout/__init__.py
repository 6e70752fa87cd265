"""What to do next. Pure functions from a Snapshot and the time to a Plan: no I/O, no clock, no Kubernetes client."""
