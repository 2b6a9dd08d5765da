"""The pure core: plan a run, build its children, judge its status, decide what to do next.

`plan` turns a spec into a frozen plan, `children` builds the manifests from it (`render` prints
them as YAML), and `backends` holds the kinds of training workload. For the operator, `run` is one
run with its plan and its status, `judge` computes the new status from what was observed, and
`decide` returns the actions that are due. `fit` compares a run's pods with nodes. The rest are
helpers that these share: `condition_list`, `names`, `quantity`, `times` and
`untyped_json`.

The same input gives the same output: no clock, environment, network or randomness. May import
`api`, `catalog`, `kinds`, `settings`, `errors`, `constants` and the trainer's contract; never
`cluster`, kopf or kubernetes.
"""
