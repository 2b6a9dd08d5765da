"""Preparation on a CPU node: sources and a starting model become what training opens.

- `run`: all stages in order; `stages`: what each one depends on. Every result is a unit of the
  shared cache (`unit_cache`).
- `sources`, `extract`, `gate`, `merge`, `model`, `index`: the work of the stages, in their order.
- `tokenized`, `processes`: records to blocks of the index, in several processes.
- `json_array`, `images`: reading label files, decoding images; `progress`: events.

May import every room below `prep` but not `train` or `evaluate`. Only `model` needs torch and
transformers; `model_process` imports it when that stage begins, in a process of its own.
"""
