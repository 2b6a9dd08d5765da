"""Records to token ids, labels, pixels and an order of samples.

`records` parses, `conversation` and `encode` make ids and labels, `images` makes pixels, `store`
keeps encoded records in memory-mapped files, `sampler` orders them, `collate` makes batches.
Everything here equals the published LLaVA-v1.5 code; docs/fidelity.md lists where it does not and
why. Imports only the contract, numpy, Pillow, torch and transformers' tokenizers.
"""

from qinstruct_trainer.data.collate import Batch, collate
from qinstruct_trainer.data.encode import EncodedRecord, encode_record, image_token_id
from qinstruct_trainer.data.images import load_pixels, verify_image
from qinstruct_trainer.data.records import Record, Turn, parse_record
from qinstruct_trainer.data.sampler import ModalityLengthSampler, random_order
from qinstruct_trainer.data.store import Example, Index, IndexWriter
from qinstruct_trainer.data.tokenizer import load_tokenizer

__all__ = [
    "Batch",
    "EncodedRecord",
    "Example",
    "Index",
    "IndexWriter",
    "ModalityLengthSampler",
    "Record",
    "Turn",
    "collate",
    "encode_record",
    "image_token_id",
    "load_pixels",
    "load_tokenizer",
    "parse_record",
    "random_order",
    "verify_image",
]
