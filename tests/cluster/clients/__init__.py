"""What talks to a test cluster: the operator under test, the fault-injecting proxy, watches.

May import the harness.
"""
