"""Training: what each process that torchrun starts does.

`run` joins the parts and `loop` takes the steps, with `batches` (which records, and their
tensors), `optimizer` (AdamW, learning rate) and `engine` (DeepSpeed, configured by `ds_config`).
`checkpoint` saves and resumes; `metrics` measures; `result` exports and evaluates. `ranks` joins
the processes, `stop_signals` catches SIGTERM, `context` is what a run is given. May import every
room below it in the trainer's layers (pyproject.toml) but `builtin`; only `__main__` imports it.
"""
