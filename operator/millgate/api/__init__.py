"""The ModelDeployment API: types, defaults, condition reasons, and the CRD that is generated from them."""
