"""Tiny models and their files."""
