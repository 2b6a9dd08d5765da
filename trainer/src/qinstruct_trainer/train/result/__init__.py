"""What a finished run leaves: `export` writes the model, `record` how it was made and evaluated.

May import the rooms of training below it (`checkpoint`, `engine`, `ranks`, `metrics`), `model`,
`data`, `evaluate` and the contract.
"""
