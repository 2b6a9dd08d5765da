"""Helpers of the command line's tests."""
