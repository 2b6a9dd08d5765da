from pathlib import Path

import torch
from torch.nn import functional

from qinstruct_trainer.builtin.model import NUM_IMAGE_TOKENS
from qinstruct_trainer.data.collate import collate
from qinstruct_trainer.data.encode import encode_record
from qinstruct_trainer.data.index.reader import Example
from qinstruct_trainer.data.tokenizer import load_tokenizer
from qinstruct_trainer.evaluate.heldout import read_heldout
from qinstruct_trainer.evaluate.likelihood import Prompt, answer_log_likelihoods, split_answer
from qinstruct_trainer.model.llava import load_checked


def test_likelihoods_equal_those_of_a_plain_forward(
    builtin_data: Path, builtin_model: Path
) -> None:
    """Shared prompt and padded answers against one whole sequence per answer."""
    question = next(q for q in read_heldout(builtin_data / "heldout.json") if q.kind == "what")
    model = load_checked(builtin_model, precision="fp32")
    tokenizer = load_tokenizer(builtin_model)
    image = builtin_data / "images" / question.image
    num_text_tokens = model.config.image_token_index
    plain, split = [], []
    for candidate in question.candidates:
        encoded = encode_record(question.record(candidate), tokenizer, NUM_IMAGE_TOKENS)
        split.append(split_answer(encoded))
        example = Example(encoded.input_ids, encoded.labels, image, encoded.image_runs)
        batch = collate([example], 112)
        ids = batch.input_ids.unsqueeze(0)
        with torch.no_grad():
            logits = model(input_ids=ids, pixel_values=batch.pixel_values).logits
        loss = functional.cross_entropy(
            logits[0, batch.learnt, :num_text_tokens], batch.targets, reduction="sum"
        )
        plain.append(-float(loss))
    prompt = Prompt(torch.tensor([split[0][0]]), batch.pixel_values)
    shared = answer_log_likelihoods(model, prompt, [answer for _, answer in split])
    assert {len(answer) for _, answer in split} != {len(split[0][1])}, "all are as long"
    torch.testing.assert_close(shared, torch.tensor(plain), rtol=1e-5, atol=1e-4)


def test_the_answer_is_split_off_with_its_end(builtin_model: Path, builtin_data: Path) -> None:
    tokenizer = load_tokenizer(builtin_model)
    question = read_heldout(builtin_data / "heldout.json")[0]
    encoded = encode_record(question.record("Yes."), tokenizer, NUM_IMAGE_TOKENS)
    prompt, answer = split_answer(encoded)
    assert prompt + answer == encoded.input_ids.tolist()
    assert str(tokenizer.decode(answer, skip_special_tokens=False)).strip() == "Yes.</s>"
    assert str(tokenizer.decode(prompt)).endswith("ASSISTANT:")
