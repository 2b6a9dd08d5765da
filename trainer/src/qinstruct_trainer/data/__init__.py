"""Records to token ids, labels, pixels and an order of samples.

- `records`: a record of a label file, checked; `conversation`: its text.
- `tokenizer`, `text_encoder`, `encode`, `label_mask`, `image_tokens`: the text as token ids and
  labels; `word_encoder`, `word_rules`: the same, faster.
- `images`, `jpeg`: image files as pixels; `pixel_store`: pixels that prep has stored.
- `index`: tokenised records in memory-mapped files.
- `sampler`: the order of samples; `collate`: batches of tensors.

Everything here equals the published LLaVA-v1.5 code; docs/fidelity.md lists where it does not and
why. Of the trainer it may import the contract, `storage_errors` and what reads and writes files.

Exports nothing, so that importing one module loads no other: only `sampler` and `collate` need
torch, only `tokenizer` needs transformers.
"""
