"""`qinstruct data`: what is in a label file or in prepared data, as tables and one HTML page.

The work is the trainer's (`qinstruct_trainer.report`), which is started as a process. May import
cli's shared modules and the trainer's contract.
"""
