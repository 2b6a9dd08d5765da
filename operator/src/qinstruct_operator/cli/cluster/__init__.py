"""`qinstruct status` and `qinstruct logs`: what a cluster knows of its runs.

`connection` opens a cluster, `runs` and `pods` read its objects, `show_status` and `show_log`
draw, `status_command` and `logs_command` join them. May import `core` and the rooms below it, the
trainer's contract, the port and the errors of `cluster` (its client only inside `connection`) and
cli's shared modules; not cli's `plan` or `local`.
"""
