"""The operator and the command `qinstruct`: plan, run and follow trainings of LLaVA-v1.5.

From the bottom up: `constants`, `errors`, `settings`, `kinds` and `catalog` (published facts);
`api` (models of the custom resource, and its CRD); `core` (pure: plan, children, status, next
step) beside `cluster` (the client of an API server). Above both, the operator: `gather` reads
one run's children, `reconcile` is one pass over it, `workqueue` schedules the passes and
`handlers` feeds it with kopf's events. `cli` is the command line, local mode included. Of
the trainer only its contract may be imported; nothing here imports torch.
"""
