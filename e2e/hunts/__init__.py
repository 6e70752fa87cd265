"""Long searches for faults of the serving image: thousands of requests made by tools that want it to fail."""
