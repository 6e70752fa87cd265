"""End-to-end tooling: a cluster for development and tests, the demo and its scenarios."""
