"""The files of the builtin data set.

    <folder>/labels.json               a JSON array of records, as Q-Instruct's
    <folder>/heldout.json              a JSON array of questions that training never sees
    <folder>/images/builtin/train/     pictures of the records
    <folder>/images/builtin/heldout/   pictures of the held-out questions

No photograph and no scene is in both parts: photographs are split by subject, and each scene is
drawn once.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from qinstruct_trainer.builtin.distortions import (
    DISTORTIONS,
    SEVERITIES,
    Distortion,
    to_picture,
    well_exposed,
)
from qinstruct_trainer.builtin.photographs import (
    PHOTOGRAPHS,
    Photograph,
    load_photographs,
    sharpest_crop,
)
from qinstruct_trainer.builtin.questions import (
    CANDIDATES,
    CLOSED_KINDS,
    Kind,
    Question,
    Subject,
    ask,
)
from qinstruct_trainer.builtin.scenes import draw_scene
from qinstruct_trainer.builtin.text_conversations import general_turns

PICTURE_SIZE = 112
NUM_TRAIN_PICTURES = 1600
NUM_HELDOUT_PICTURES = 140
NUM_HELDOUT_PHOTOGRAPHS = 4

# Strategy mix: conversations beside the Q-Instruct records, as parts of their number.
_MIX_MULTI_TURN_SHARE = 1 / 4
_MIX_TEXT_ONLY_SHARE = 1 / 12
# As many rounds as mix665k has on average. Yes or no is the hardest to learn, since the model
# has to compare what the question names with what the picture shows.
_ROUNDS: tuple[Kind, ...] = ("yes-no", "yes-no", "yes-no", "what", "how")
_DESCRIPTION_EVERY = 4

Part = Literal["train", "heldout"]


@dataclass(frozen=True)
class Shot:
    """One picture of the set: where it lies below the image root, and what is true of it."""

    path: str
    subject: Subject


def write_builtin(
    folder: Path,
    *,
    seed: int,
    strategy: str,
    num_train_pictures: int = NUM_TRAIN_PICTURES,
    num_heldout_pictures: int = NUM_HELDOUT_PICTURES,
) -> None:
    """Write the data set of a seed; the same arguments give the same bytes.

    Strategy `after` has single-turn records about pictures only, as Q-Instruct; `mix` appends
    multi-turn and text-only records, as the published mix does.
    """
    rng = np.random.default_rng(seed)
    train, heldout = split_photographs(rng)
    images = folder / "images"
    train_shots = list(_take_shots(images, "train", train, num_train_pictures, rng))
    heldout_shots = list(_take_shots(images, "heldout", heldout, num_heldout_pictures, rng))

    records = _records(train_shots, rng)
    if strategy == "mix":
        records += _general_records(train_shots, len(records), rng)
    _write_json(folder / "labels.json", records)
    _write_json(folder / "heldout.json", _heldout_questions(heldout_shots, rng))


def split_photographs(
    rng: np.random.Generator,
) -> tuple[tuple[Photograph, ...], tuple[Photograph, ...]]:
    """The photographs for training and those held out."""
    order = [PHOTOGRAPHS[int(number)] for number in rng.permutation(len(PHOTOGRAPHS))]
    return tuple(order[NUM_HELDOUT_PHOTOGRAPHS:]), tuple(order[:NUM_HELDOUT_PHOTOGRAPHS])


def _take_shots(
    images: Path,
    part: Part,
    photographs: Sequence[Photograph],
    num_pictures: int,
    rng: np.random.Generator,
) -> Iterator[Shot]:
    """Make and save the pictures of a part, photographs and scenes in turn."""
    loaded = [load_photographs(photograph) for photograph in photographs]
    (images / "builtin" / part).mkdir(parents=True, exist_ok=True)
    for number, distortion in enumerate(_states(num_pictures, rng)):
        if number % 2 == 0:
            chosen = int(rng.integers(len(photographs)))
            views = loaded[chosen]
            picture = sharpest_crop(views[int(rng.integers(len(views)))], PICTURE_SIZE, rng)
            phrase = photographs[chosen].phrase
        else:
            picture, phrase = draw_scene(PICTURE_SIZE, rng)
        severity = None
        pixels = well_exposed(picture)
        if distortion is not None:
            severity = SEVERITIES[int(rng.integers(len(SEVERITIES)))]
            pixels = distortion.apply(pixels, distortion.draw_strength(severity, rng), rng)
        path = f"builtin/{part}/{number:05d}.png"
        _save_png(to_picture(pixels), images / path)
        yield Shot(path, Subject(phrase, distortion, severity))


def _states(num_pictures: int, rng: np.random.Generator) -> list[Distortion | None]:
    """What happens to each picture: all states equally often, nothing among them, shuffled."""
    states = (None, *DISTORTIONS)
    order = rng.permutation(num_pictures) % len(states)
    return [states[int(place)] for place in order]


def _records(shots: Sequence[Shot], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Single-turn records, some questions about every picture, in a random order."""
    records = []
    for number, shot in enumerate(shots):
        kinds: list[Kind] = [*CLOSED_KINDS]
        if number % _DESCRIPTION_EVERY == 0:
            kinds.append("description")
        for place, kind in enumerate(kinds):
            question = ask(kind, shot.subject, rng)
            # Like the published set, some records have the image behind the question.
            is_first = rng.random() < 0.8
            text = f"<image>\n{question.text}" if is_first else f"{question.text}\n<image>"
            records.append(_record(f"{shot.path}#{place}", shot.path, question, text))
    return [records[int(number)] for number in rng.permutation(len(records))]


def _record(name: str, path: str, question: Question, text: str) -> dict[str, Any]:
    return {
        "id": name,
        "qtype": question.kind,
        "type": question.concern,
        "conversations": [
            {"from": "human", "value": text},
            {"from": "gpt", "value": question.answer},
        ],
        "image": path,
    }


def _general_records(
    shots: Sequence[Shot], num_records: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """What `mix` adds: conversations of several turns about pictures, and text-only ones."""
    records: list[dict[str, Any]] = []
    for number in range(round(num_records * _MIX_MULTI_TURN_SHARE)):
        shot = shots[int(rng.integers(len(shots)))]
        order = rng.permutation(len(_ROUNDS))
        questions = [ask(_ROUNDS[int(place)], shot.subject, rng) for place in order]
        turns = [(question.text, question.answer) for question in questions]
        turns[0] = (f"<image>\n{turns[0][0]}", turns[0][1])
        records.append(
            {"id": f"conversation-{number}", "image": shot.path, "conversations": _said(turns)}
        )
    for number in range(round(num_records * _MIX_TEXT_ONLY_SHARE)):
        turns = general_turns(rng)
        records.append({"id": f"text-{number}", "conversations": _said(turns)})
    return [records[int(number)] for number in rng.permutation(len(records))]


def _said(turns: Sequence[tuple[str, str]]) -> list[dict[str, str]]:
    said = []
    for question, answer in turns:
        said += [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    return said


def _heldout_questions(shots: Sequence[Shot], rng: np.random.Generator) -> list[dict[str, Any]]:
    """One question of each closed kind about every held-out picture."""
    questions = []
    for shot in shots:
        for kind in CLOSED_KINDS:
            question = ask(kind, shot.subject, rng)
            questions.append(
                {
                    "id": f"{shot.path}#{kind}",
                    "image": shot.path,
                    "kind": kind,
                    "question": question.text,
                    "answer": question.answer,
                    "candidates": list(CANDIDATES[kind]),
                }
            )
    return questions


def _save_png(picture: Image.Image, path: Path) -> None:
    picture.save(path, "PNG", compress_level=1)


def _write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", "utf-8")
