"""What a finished run leaves in its output folder.

`export` writes the model, `evaluation` its accuracy, `record` how it was made. May import
`context`, `checkpoint`, `engine` and `ranks` of `train`, and every room that `train` may import.
"""
