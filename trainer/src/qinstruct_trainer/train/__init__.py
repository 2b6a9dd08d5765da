"""Training: what each process that torchrun starts does.

`run` joins the parts and `loop` takes the steps, with `batches` (which records, and their
tensors), `optimizer` (AdamW, learning rate) and `engine` (DeepSpeed, configured by `ds_config`).
`checkpoint` saves and resumes; `metrics` measures; `result` exports and evaluates. `ranks` joins
the processes, `stop_signals` catches SIGTERM, `context` is what a run is given. May import `data`,
`model`, `evaluate`, `durable_files`, `lease` and the contract; only `__main__` imports it.
"""
