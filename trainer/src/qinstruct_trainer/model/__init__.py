"""The LLaVA model: published weights in, training forward, published layout out.

- `parameter_names`: parameter names of all layouts; `weight_files`: which files have weights;
  `tensors`: those files, tensor by tensor.
- `torch_files`: the only reader of torch files, which are pickles.
- `processing`: tokenizer and image processor; `configuration`: config.json.
- `convert`: tensors of any published layout to one checkpoint in the hub layout.
- `original`: the way back to the layout of the original LLaVA; `original_checks`: can it be done.
- `llava`: load and freeze; `loss`: the loss of the published recipe.
- `export`: write the trained model, load it back, compare.

Of the trainer it may import `data` and the contract; it knows no process group, no optimizer and
no network (hub downloads are prep's).
"""
