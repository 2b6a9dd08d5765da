"""Preparation on a CPU node: sources and a starting model become what training opens.

- `run`: all stages in order; `stages`: what each one depends on. Every result is a unit of the
  shared cache (`unit_cache`).
- `sources`, `extract`, `gate`, `merge`, `model`, `index`: the work of the stages, in their order.
- `json_array`, `images`: reading label files, decoding images; `progress`: events.

May import every room below `prep` but not `train` or `evaluate`. Only `model` and `index` need
torch and transformers; `stages` imports them when these stages begin.
"""
