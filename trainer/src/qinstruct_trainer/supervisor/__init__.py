"""The supervisor: the process above the launcher, which starts the ranks again where they failed.

`tries` runs one try after another, `decide` says whether there is another one, `reached` reads how
far one came, `killed` words an end by a signal, for which `oom_kills` asks the kernel. `watch` is
the launcher's, and ends ranks of which one hangs. Without torch and small: in a pod it is process 1
for as long as the run lasts. May import the contract, `heartbeats`, `parent_death`, `process_stat`,
and of train what reads metrics and names checkpoints.
"""
