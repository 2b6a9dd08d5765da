"""Judge a run: from what was read of its children to its complete status. Pure.

`pods`, `node` and `workloads` parse raw objects and `observe` collects them; `evidence` adds the
log (`progress`) and the failure (`failure`); `conditions`, with `waiting` (why it has not started),
`trouble` (what ends it from outside) and `claims`, makes the conditions from that, `reasons` lists
their reasons, and `unread` keeps what was known of what could not be read. `judge` joins them with
`phase` and `gpu_hours` to the status, and `transitions` makes Kubernetes events of what changed.
May import `api`, `constants`, `kinds`, the trainer's contract, and of the core `run` and what `run`
may import; not `decide`, `fit` or `render`.
"""
