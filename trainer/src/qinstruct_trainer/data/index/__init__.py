"""The token index: tokenised records in memory-mapped files, made once by prep.

`format` says what the files hold, `writer` makes them, `reader` opens them in every rank at once.
Imports numpy, `data.image_tokens` and `data.label_mask`; neither torch nor transformers.
"""
