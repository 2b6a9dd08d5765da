"""Plan a run: `make_plan` turns a spec into a finished, frozen `Plan`, or lists its faults. Pure.

`make` joins the others: `gpus`, `batch` and `configs` (prep.json, run.json) decide what is run;
`sources`, `memory`, `disk`, `claims` and `hours` what it takes; `checks` and `source_checks` find
violations, `warnings` what is allowed but risky; `types` defines the result. May import `api`,
`catalog`, `settings`, `errors`, `constants`, the trainer's contract, and of the core `backends`,
`names` and `quantity`.
"""
