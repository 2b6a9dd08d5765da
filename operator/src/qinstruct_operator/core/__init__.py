"""The pure core: a document becomes a plan, a plan becomes manifests.

`make_plan` joins the tables (`recipes`, `sizes`, `sources`), the arithmetic (`memory`, `disk`)
and the rules (`checks`); `build` writes each child from the finished plan. No clock, no
environment, no cluster, no chance: the same document gives the same bytes. May import `api`,
`settings`, `errors`, `constants` and the trainer's contract (config, batch, errors).
"""
