"""Helpers of the tests of training: prepared data and real processes."""
