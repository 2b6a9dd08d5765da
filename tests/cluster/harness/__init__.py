"""The test cluster's servers as processes of this machine: what is built, started and asked.

Imports nothing of the other rooms of tests/cluster.
"""
