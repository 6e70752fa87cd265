"""Benchmarks of the operator on the control-plane cluster: how fast it acts, and what it costs while idle."""
