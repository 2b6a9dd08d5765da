"""`qinstruct status` and `qinstruct logs`: what a cluster knows of its runs.

`connection` opens a cluster, `runs` and `pods` read its objects, `show_status` and `show_log`
draw, `status_command` and `logs_command` join them. May import `api`, `core`, the port of
`cluster` (its client only inside `connection`) and cli's shared modules; not `plan` or `local`.
"""
