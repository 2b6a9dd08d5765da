"""Drawn scenes: reproducible, of the asked size, each with its phrase and with fine detail."""

import numpy as np
import pytest
from PIL import ImageFilter

from qinstruct_trainer.builtin.scenes import draw_scene


@pytest.mark.parametrize("size", [16, 56])
def test_a_scene_has_the_asked_size(size: int) -> None:
    picture, _ = draw_scene(size, np.random.default_rng(0))
    assert (picture.mode, picture.size) == ("RGB", (size, size))


def test_a_seed_gives_one_scene() -> None:
    (first, phrase), (same, same_phrase) = (
        draw_scene(32, np.random.default_rng(4)) for _ in range(2)
    )
    assert first.tobytes() == same.tobytes()
    assert phrase == same_phrase


def test_all_kinds_are_drawn_and_no_two_scenes_are_the_same() -> None:
    rng = np.random.default_rng(0)
    scenes = [draw_scene(16, rng) for _ in range(40)]
    assert {phrase for _, phrase in scenes} == {
        "a row of buildings",
        "a meadow under the sky",
        "colorful shapes",
        "a tiled wall",
    }
    assert len({picture.tobytes() for picture, _ in scenes}) == len(scenes)


def test_a_blur_can_be_seen_in_every_kind() -> None:
    rng = np.random.default_rng(1)
    by_phrase = {phrase: picture for picture, phrase in (draw_scene(112, rng) for _ in range(16))}
    assert len(by_phrase) == 4
    for phrase, picture in by_phrase.items():
        sharp, blurred = (
            np.abs(np.diff(np.asarray(one, np.float32), axis=1)).mean()
            for one in (picture, picture.filter(ImageFilter.GaussianBlur(1.5)))
        )
        assert blurred < 0.7 * sharp, phrase
