import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from qinstruct_trainer.builtin import write_builtin
from qinstruct_trainer.builtin.model import NUM_IMAGE_TOKENS
from qinstruct_trainer.data import Example, collate, encode_record, load_tokenizer
from qinstruct_trainer.evaluate import evaluate_model
from qinstruct_trainer.evaluate.heldout import read_heldout
from qinstruct_trainer.evaluate.likelihood import Prompt, answer_log_likelihoods, split_answer
from qinstruct_trainer.model.llava import load_checked
from support.model.builtin import read_array, texts_of, write_small_model


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_builtin(folder, seed=7, strategy="after", num_train_pictures=14)
    return folder


@pytest.fixture(scope="module")
def model_folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = texts_of(read_array(data / "labels.json"))
    return write_small_model(tmp_path_factory.mktemp("model"), texts)


@pytest.mark.slow
def test_an_untrained_model_is_at_chance(data: Path, model_folder: Path) -> None:
    result = evaluate_model(
        model_folder, data / "heldout.json", data / "images", label="untrained", num_examples=3
    )
    questions = read_heldout(data / "heldout.json")
    assert (result.model, result.questions) == ("untrained", len(questions))
    chances = [1 / len(question.candidates) for question in questions]
    chance = sum(chances) / len(chances)
    deviation = math.sqrt(sum(p * (1 - p) for p in chances)) / len(chances)
    assert abs(result.accuracy - chance) < 4 * deviation
    assert set(result.by_kind) == {"yes-no", "what", "how"}
    assert len(result.examples) == 3
    assert {example.kind for example in result.examples} <= set(result.by_kind)


def test_likelihoods_equal_those_of_a_plain_forward(data: Path, model_folder: Path) -> None:
    """Shared prompt and padded answers against one whole sequence per answer."""
    question = next(q for q in read_heldout(data / "heldout.json") if q.kind == "what")
    model = load_checked(model_folder, precision="fp32")
    tokenizer = load_tokenizer(model_folder)
    image = data / "images" / question.image
    num_text_tokens = model.config.image_token_index
    plain, split = [], []
    for candidate in question.candidates:
        encoded = encode_record(question.record(candidate), tokenizer, NUM_IMAGE_TOKENS)
        split.append(split_answer(encoded))
        example = Example(encoded.input_ids, encoded.labels, image, encoded.image_runs)
        batch = collate([example], 0, 112)
        with torch.no_grad():
            logits = model(input_ids=batch.input_ids, pixel_values=batch.pixel_values).logits
        loss = functional.cross_entropy(
            logits[0, :-1, :num_text_tokens], batch.labels[0, 1:], reduction="sum"
        )
        plain.append(-float(loss))
    prompt = Prompt(torch.tensor([split[0][0]]), batch.pixel_values)
    shared = answer_log_likelihoods(model, prompt, [answer for _, answer in split])
    assert {len(answer) for _, answer in split} != {len(split[0][1])}, "all are as long"
    torch.testing.assert_close(shared, torch.tensor(plain), rtol=1e-5, atol=1e-4)


def test_the_answer_is_split_off_with_its_end(model_folder: Path, data: Path) -> None:
    tokenizer = load_tokenizer(model_folder)
    question = read_heldout(data / "heldout.json")[0]
    encoded = encode_record(question.record("Yes."), tokenizer, NUM_IMAGE_TOKENS)
    prompt, answer = split_answer(encoded)
    assert prompt + answer == encoded.input_ids.tolist()
    assert str(tokenizer.decode(answer, skip_special_tokens=False)).strip() == "Yes.</s>"
    assert str(tokenizer.decode(prompt)).endswith("ASSISTANT:")


def test_a_few_questions_give_a_whole_report(
    data: Path, model_folder: Path, tmp_path: Path
) -> None:
    few = read_array(data / "heldout.json")[:4]
    (tmp_path / "few.json").write_text(json.dumps(few), "utf-8")
    result = evaluate_model(model_folder, tmp_path / "few.json", data / "images", label="trained")
    assert (result.questions, len(result.examples)) == (4, 4)
    again = evaluate_model(model_folder, tmp_path / "few.json", data / "images", label="trained")
    assert again.accuracy == result.accuracy
    assert again.examples == result.examples
