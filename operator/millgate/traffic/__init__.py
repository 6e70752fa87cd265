"""Sharing out requests: weights to desired routes, and observed routes to weights."""
