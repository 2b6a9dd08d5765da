"""`qinstruct plan`: what a run would take, and which nodes of a cluster could ever run it.

`plan_command` is the command, `show_plan` and `show_nodes` draw. May import `core`, `catalog`, the
port of `cluster`, `cli.cluster.connection` and cli's shared modules; not `local`.
"""
