"""`qinstruct run`: preparation and training as processes of this machine, under one folder.

`run_command` is the command, `machine` checks that this machine can run it, `run` goes through the
two stages, `process` runs one of them, `folder` knows the run's files and `show_result` draws what
came out. May import `core` and the rooms below it, the trainer's contract and cli's shared
modules; not cli's `plan` or `cluster`.
"""
