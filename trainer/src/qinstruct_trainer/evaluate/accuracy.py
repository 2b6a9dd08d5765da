"""Accuracy of a model on held-out questions, with that of the majority answer beside it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.events import Answer, Evaluated
from qinstruct_trainer.data.encode import encode_record
from qinstruct_trainer.data.images import load_pixels
from qinstruct_trainer.data.tokenizer import Tokenizer, load_tokenizer
from qinstruct_trainer.evaluate.heldout import HeldoutQuestion, read_heldout
from qinstruct_trainer.evaluate.likelihood import (
    Prompt,
    answer_log_likelihoods,
    generate_answer,
    split_answer,
)
from qinstruct_trainer.model.llava import load_checked


def evaluate_model(
    model_folder: Path,
    heldout: Path,
    image_root: Path,
    *,
    label: Literal["untrained", "trained"],
    num_examples: int = 8,
) -> Evaluated:
    """Ask every held-out question; the answer is the candidate of the highest likelihood.

    To `num_examples` questions the model also generates an answer.

    Raises:
        DataError: the checkpoint, a question or an image is not what it must be.
        StorageError: the file of questions cannot be read.
    """
    questions = read_heldout(heldout)
    model = load_checked(model_folder, precision="fp32")
    nn.Module.to(model, "cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = load_tokenizer(model_folder)
    answered = [
        _most_likely_candidate(model, tokenizer, question, image_root) for question in questions
    ]
    return Evaluated(
        model=label,
        questions=len(questions),
        accuracy=_accuracy(questions, answered),
        majority=majority_accuracy(questions),
        by_kind=_accuracy_by_kind(questions, answered),
        majority_by_kind={
            kind: majority_accuracy([question for question in questions if question.kind == kind])
            for kind in dict.fromkeys(question.kind for question in questions)
        },
        examples=tuple(
            _generate_example(model, tokenizer, question, image_root)
            for question in _pick_examples(questions, num_examples)
        ),
    )


def majority_accuracy(questions: Sequence[HeldoutQuestion]) -> float:
    """The accuracy of always giving each kind's most frequent answer, without any image."""
    by_kind: dict[str, Counter[str]] = {}
    for question in questions:
        by_kind.setdefault(question.kind, Counter())[question.answer] += 1
    return sum(max(answers.values()) for answers in by_kind.values()) / len(questions)


def _most_likely_candidate(
    model: LlavaForConditionalGeneration,
    tokenizer: Tokenizer,
    question: HeldoutQuestion,
    image_root: Path,
) -> str:
    """The likeliest candidate; the first of several that are equally likely."""
    prompt, answers = _encode(model, tokenizer, question, image_root)
    best = int(answer_log_likelihoods(model, prompt, answers).argmax())
    return question.candidates[best]


def _generate_example(
    model: LlavaForConditionalGeneration,
    tokenizer: Tokenizer,
    question: HeldoutQuestion,
    image_root: Path,
) -> Answer:
    prompt, _ = _encode(model, tokenizer, question, image_root)
    return Answer(
        image=question.image,
        kind=question.kind,
        question=question.question,
        expected=question.answer,
        answered=generate_answer(model, tokenizer, prompt),
    )


def _encode(
    model: LlavaForConditionalGeneration,
    tokenizer: Tokenizer,
    question: HeldoutQuestion,
    image_root: Path,
) -> tuple[Prompt, list[list[int]]]:
    """The prompt, and the ids of each candidate behind it: encoded as training encodes them."""
    vision: Any = model.config.vision_config
    num_image_tokens = (vision.image_size // vision.patch_size) ** 2
    records = [question.record(candidate) for candidate in question.candidates]
    split = [split_answer(encode_record(r, tokenizer, num_image_tokens)) for r in records]
    # The records were parsed, so that the path is known to lie below the root.
    pixels = torch.from_numpy(load_pixels(image_root / question.image, vision.image_size))
    prompt = Prompt(
        input_ids=torch.tensor([split[0][0]], device=model.device),
        pixel_values=pixels.unsqueeze(0).to(model.device),
    )
    return prompt, [answer for _, answer in split]


def _accuracy(questions: Sequence[HeldoutQuestion], answered: Sequence[str]) -> float:
    pairs = zip(questions, answered, strict=True)
    return sum(question.answer == answer for question, answer in pairs) / len(questions)


def _accuracy_by_kind(
    questions: Sequence[HeldoutQuestion], answered: Sequence[str]
) -> dict[str, float]:
    result = {}
    for kind in dict.fromkeys(question.kind for question in questions):
        numbers = [i for i, question in enumerate(questions) if question.kind == kind]
        result[kind] = _accuracy([questions[i] for i in numbers], [answered[i] for i in numbers])
    return result


def _pick_examples(questions: Sequence[HeldoutQuestion], count: int) -> list[HeldoutQuestion]:
    """`count` questions from all over the file, of each kind in turn."""
    kinds = dict.fromkeys(question.kind for question in questions)
    queues = [[q for q in questions if q.kind == kind] for kind in kinds]
    count = min(count, len(questions))
    chosen = []
    for number in range(count):
        queue = queues[number % len(queues)]
        chosen.append(queue[number * len(queue) // count])
    return chosen
