"""Helpers of the tests of preparation: servers, miniature data and a process to kill."""
