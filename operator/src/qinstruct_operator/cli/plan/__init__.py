"""`qinstruct plan`: what a run would take, and which nodes of a cluster could ever run it.

`show_plan` draws the plan, `nodes` asks a cluster for its nodes and `show_nodes` draws them. May
import `api`, `core`, `cli.cluster.connection` and cli's shared modules; not `local`.
"""
