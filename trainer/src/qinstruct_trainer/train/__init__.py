"""The training of a model: what every process that torchrun starts does.

`run` joins the parts: `loop` takes the steps, with `batches` (records and their batches),
`optimizer` (AdamW, learning rate) and `engine` (DeepSpeed, configured by `ds_config`);
`checkpoint` saves and resumes; `metrics` measures; `result` exports and evaluates. `ranks` joins
the processes, `stop_signals` catches SIGTERM. May import `data`, `model`, `evaluate` and the
contract; only `__main__` imports it.
"""
