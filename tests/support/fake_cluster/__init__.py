"""An API server in memory: the cluster of the tests that run in one process."""
