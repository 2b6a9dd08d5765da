"""`qinstruct run`: preparation and training as processes of this machine, under one folder.

`run_command` is the command, `run` goes through the two stages, `process` runs one of them,
`folder` knows the run's files and `show_result` draws what came out. May import `api`, `core`,
the trainer's contract and cli's shared modules; not `plan` or `cluster`.
"""
