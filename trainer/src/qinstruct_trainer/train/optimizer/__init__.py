"""The published optimizer: `adamw` with its parameter groups, `lr_schedule` for its learning rate.

Torch and arithmetic. May import the contract, and nothing else of the trainer.
"""
