"""`kubectl millgate`: looks at ModelDeployments and asks for what a person may decide."""
