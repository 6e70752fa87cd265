"""Millgate releases machine-learning models on Kubernetes: step by step, on evidence, and back by itself."""

__version__ = "0.1.0"
