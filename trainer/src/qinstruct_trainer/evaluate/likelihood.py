"""What a model answers: the likelihood of given answers, and an answer it generates."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, LlavaForConditionalGeneration

from qinstruct_trainer.data.image_tokens import EncodedRecord
from qinstruct_trainer.data.label_mask import IGNORE_INDEX
from qinstruct_trainer.data.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Prompt:
    """A question up to `ASSISTANT:` with its image.

    Attributes:
        input_ids: [1, T] int64.
        pixel_values: [1, 3, size, size] float32.
    """

    input_ids: Tensor
    pixel_values: Tensor


def split_answer(encoded: EncodedRecord) -> tuple[list[int], list[int]]:
    """Ids of the prompt, and ids of the answer with its `</s>`: those that training learns."""
    start = int((encoded.labels != IGNORE_INDEX).argmax())
    ids = encoded.input_ids.tolist()
    return ids[:start], ids[start:]


@torch.inference_mode()
def answer_log_likelihoods(
    model: LlavaForConditionalGeneration, prompt: Prompt, answers: Sequence[list[int]]
) -> Tensor:
    """Log P(answer | image, question) of each answer, [A] float32, natural logarithm.

    The sum over the answer's tokens, `</s>` among them, under a softmax over the text vocabulary,
    which is what training maximises. The prompt is computed once and its keys and values are
    shared by all answers.
    """
    cache = DynamicCache(config=model.config)
    first = _log_probabilities(model, prompt.input_ids, cache, prompt.pixel_values)[0, -1]  # [V]
    cache.batch_repeat_interleave(len(answers))
    length = max(len(answer) for answer in answers)
    padded = torch.zeros((len(answers), length), dtype=torch.int64, device=first.device)
    shown = torch.zeros((len(answers), length), dtype=torch.bool, device=first.device)
    for row, answer in enumerate(answers):
        padded[row, : len(answer)] = torch.tensor(answer)
        shown[row, : len(answer)] = True
    # A causal model needs no mask for padding on the right: no answer token attends to it.
    rest = _log_probabilities(model, padded, cache)[:, :-1]  # [A, length - 1, V]
    table = torch.cat([first.expand(len(answers), 1, -1), rest], dim=1)  # [A, length, V]
    chosen = table.gather(-1, padded.unsqueeze(-1)).squeeze(-1)  # [A, length]
    return (chosen * shown).sum(dim=1)


@torch.inference_mode()
def generate_answer(
    model: LlavaForConditionalGeneration,
    tokenizer: Tokenizer,
    prompt: Prompt,
    *,
    max_new_tokens: int = 48,
) -> str:
    """The answer that the model generates, decoded greedily."""
    # transformers' own annotation of `self` is a protocol that its models do not fit.
    generated = model.generate(  # type: ignore[misc]
        input_ids=prompt.input_ids,
        attention_mask=torch.ones_like(prompt.input_ids),
        pixel_values=prompt.pixel_values,
        max_new_tokens=max_new_tokens,
        do_sample=False,
    )
    new_ids = generated[0, prompt.input_ids.shape[1] :].tolist()
    return str(tokenizer.decode(new_ids, skip_special_tokens=True)).strip()


def _log_probabilities(
    model: LlavaForConditionalGeneration,
    input_ids: Tensor,
    cache: DynamicCache,
    pixel_values: Tensor | None = None,
) -> Tensor:
    """[B, T, V] float32 over the V ids of the text vocabulary; extends the cache."""
    output = model(
        input_ids=input_ids, pixel_values=pixel_values, past_key_values=cache, use_cache=True
    )
    logits = output.logits[..., : model.config.image_token_index]
    return torch.log_softmax(logits.float(), dim=-1)
