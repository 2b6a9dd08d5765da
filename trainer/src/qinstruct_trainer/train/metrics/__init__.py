"""What a run measures: `metrics_file` keeps one line a step, `flops` counts the model's work.

May import the contract and `durable_files`.
"""
