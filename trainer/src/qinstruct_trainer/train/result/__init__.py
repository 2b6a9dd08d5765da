"""What a finished run leaves in its output folder.

`export` writes the model, `evaluation` its accuracy, `record` how it was made. May import the
rooms of training below it (`checkpoint`, `engine`, `ranks`), `model`, `data`, `evaluate` and the
contract.
"""
