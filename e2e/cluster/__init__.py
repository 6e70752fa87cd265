"""A Kubernetes cluster that comes up anywhere: the one you name, kind where Docker answers, or a bare node."""
