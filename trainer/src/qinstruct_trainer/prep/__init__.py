"""Preparation on a CPU node: sources and a starting model become units that training opens.

The line is `run.run_prep`: fetch, extract, gate, merge, model, index (`stages`), each a unit of
the shared cache (`units`), with the work itself in a module of the stage's name. May import
`data`, `builtin`, `model`, `lease`, `parent_death` and the contract modules; never `train`.
"""
