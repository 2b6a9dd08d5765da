"""Pods that have ended badly, and what must be said of each."""
