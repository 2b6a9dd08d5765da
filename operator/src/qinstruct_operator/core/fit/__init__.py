"""Fit: whether a node could ever run a run's pods, and why not. Pure."""
