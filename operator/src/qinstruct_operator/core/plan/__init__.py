"""Plan a run: `make_plan` turns the document into a finished, frozen `Plan`. Pure.

`make` joins one module a question: `gpus` (which, how many), `batch`, `configs` (what prep and
training are told), `sources`, `memory`, `disk`, `claims`, `hours`. `checks` and `source_checks`
refuse, `warnings` warns, `types` holds the result. May import `api`, `catalog`, `settings`,
`errors`, `constants`, `core.names`, `core.quantity` and the trainer's contract.
"""
