"""The training loop and what it needs: order of samples, engine, checkpoints, end of a run.

`ranks` (who am I), `order` (which records are in step k), `loader` (their batches), `schedule`,
`optim`, `ds_config`, `engine` (DeepSpeed behind a small interface), `checkpoint` (with `rng`,
`files`), `stop` (signals), `metrics`, `flops`, `loop` (the steps), `finish` (export, evaluation,
record) and `run`, which joins them. May import `data`, `model`, `evaluate` and the contract;
nothing imports it but `__main__`.
"""
