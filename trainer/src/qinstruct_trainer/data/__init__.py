"""Records to token ids, labels, pixels and an order of samples.

`records` parses, `conversation` and `encode` make ids and labels, `images` makes pixels, `store`
keeps encoded records in memory-mapped files, `sampler` orders them, `collate` makes batches.
Everything here equals the published LLaVA-v1.5 code; docs/fidelity.md lists where it does not and
why. Imports only the contract, numpy, Pillow, torch and transformers' tokenizers.

Exports nothing: who needs no torch imports a module that needs none. Torch is needed by `sampler`
and `collate` alone, transformers by `tokenizer` and `encode`.
"""
