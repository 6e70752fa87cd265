"""Reads what `gates` judge from a metrics store, for whoever judges: the operator, and the command line again later."""
