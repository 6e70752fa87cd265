"""The model server of Millgate: it fetches one model, verifies it, serves it and stops without losing a request.

It shares no code with the operator. Their contract is environment variables, HTTP and metric names: `docs/serving.md`.
"""

__version__ = "0.1.0"
