"""`qinstruct plan`: what a run would take, and which nodes of a cluster could ever run it.

`plan_command` is the command, `show_plan` and `show_nodes` draw. May import `core` and the rooms
below it, the trainer's contract, the port of `cluster`, `cli.cluster.connection` and cli's shared
modules; not cli's `local`.
"""
