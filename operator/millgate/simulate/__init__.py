"""Rollouts on synthetic traffic with a virtual clock: the very core and gates of the operator, and no cluster. Pure."""
