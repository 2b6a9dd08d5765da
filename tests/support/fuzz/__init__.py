"""Fuzzing of what reads bytes that are not ours: inputs, targets, and the process they run in."""
