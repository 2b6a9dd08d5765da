"""`qinstruct convert`: a finished model as the original LLaVA's own code reads it.

The work is the trainer's (`qinstruct_trainer.model.original`), which is started as a process. May
import what the command line may.
"""
