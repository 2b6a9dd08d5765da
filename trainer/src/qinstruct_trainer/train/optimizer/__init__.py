"""The published optimizer: `adamw` with its parameter groups, `lr_schedule` for its learning rate.

Pure torch and arithmetic; imports nothing of the trainer.
"""
