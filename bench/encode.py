"""Records encoded per second of one core's time: short questions with an image, as in Q-Instruct.

    python bench/encode.py

Uses the true Llama vocabulary, fetched as the oracle tests do.
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from qinstruct_trainer.data.encode import text_encoder, tokenize_record
from qinstruct_trainer.data.image_tokens import TokenizedRecord
from qinstruct_trainer.data.records import parse_record
from qinstruct_trainer.data.tokenizer import Tokenizer
from support.oracle_llava import load_llama_tokenizer

NUM_RECORDS = 20_000


def main() -> None:
    tokenizer = load_llama_tokenizer(legacy=False, layout="hub")
    records: list[dict[str, object]] = [
        {
            "id": f"{number}",
            "image": f"spaq_koniq/{number:05d}.jpg",
            "conversations": [
                {"from": "human", "value": "How is the lighting of this image?\n<image>"},
                {
                    "from": "gpt",
                    "value": "The lighting of this image is rather dim, and the main subject is "
                    f"slightly blurred by motion; in sum, its quality is poor ({number}).",
                },
            ],
        }
        for number in range(NUM_RECORDS)
    ]
    tokenize(records[0], tokenizer)
    begin = time.process_time()
    tokens = sum(tokenize(record, tokenizer).num_tokens for record in records)
    seconds = time.process_time() - begin
    print(
        f"{NUM_RECORDS / seconds:,.0f} records per CPU second "
        f"({tokens / NUM_RECORDS:.0f} tokens a record, image included)"
    )


def tokenize(record: dict[str, object], tokenizer: Tokenizer) -> TokenizedRecord:
    return tokenize_record(parse_record(record, 0), text_encoder(tokenizer), 576, max_length=2048)


if __name__ == "__main__":
    main()
