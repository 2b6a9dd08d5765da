"""What a run measures of its steps.

`metrics_file` keeps one line a step, `loss_curve` draws them, `eta` estimates the remaining time,
`flops` counts the model's work, `lost_time` what restarts have cost. May import the contract and
`durable_files`.
"""
