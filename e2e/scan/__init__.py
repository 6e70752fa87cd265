"""Scans what is delivered, Containerfiles and manifests, for what should not be in them: `make lint`."""
