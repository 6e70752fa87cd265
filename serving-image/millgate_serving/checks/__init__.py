"""What the image can find out about a model before it gets traffic: docs/checks.md says what each check means."""
