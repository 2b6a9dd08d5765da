"""The token index: tokenised records in memory-mapped files, made once by prep.

`format` says what the files hold, `writer` makes them, `reader` opens them in every rank at once.
Of the trainer they may import the contract, `storage_errors`, `data.image_tokens` and
`data.label_mask`; they need neither torch nor transformers.
"""
