"""Distortions: two strengths that do not overlap, each doing what its name says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_trainer.builtin.distortions import DISTORTIONS, Distortion, to_picture, well_exposed
from qinstruct_trainer.builtin.scenes import draw_scene

seeds = st.integers(0, 2**32 - 1)


def base_pixels() -> np.ndarray:
    picture, _ = draw_scene(112, np.random.default_rng(3))
    return well_exposed(picture)


def sharpness(pixels: np.ndarray) -> float:
    return float(np.abs(np.diff(pixels, axis=1)).mean())


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda distortion: distortion.name)
def test_severities_do_not_overlap(distortion: Distortion) -> None:
    rng = np.random.default_rng(0)
    slight = [distortion.draw_strength("slight", rng) for _ in range(100)]
    severe = [distortion.draw_strength("severe", rng) for _ in range(100)]
    assert max(slight) < min(severe) or max(severe) < min(slight)


@pytest.mark.parametrize("distortion", DISTORTIONS, ids=lambda distortion: distortion.name)
def test_severe_is_further_from_the_original_than_slight(distortion: Distortion) -> None:
    base = base_pixels()
    errors = []
    for strength in (np.mean(distortion.slight), np.mean(distortion.severe)):
        changed = distortion.apply(base, float(strength), np.random.default_rng(0))
        pixels = np.asarray(to_picture(changed), dtype=np.float32) / 255
        errors.append(float(np.square(pixels - base).mean()))
    assert 0 < errors[0] < errors[1]


def test_distortions_do_what_their_names_say() -> None:
    base = base_pixels()
    by_name = {}
    for distortion in DISTORTIONS:
        strength = float(np.mean(distortion.slight))
        changed = distortion.apply(base, strength, np.random.default_rng(0))
        by_name[distortion.name] = np.clip(changed, 0, 1)
    assert sharpness(by_name["blur"]) < 0.8 * sharpness(base)
    assert sharpness(by_name["noise"]) > sharpness(base)
    assert by_name["darkness"].mean() < 0.7 * base.mean()
    assert by_name["brightness"].mean() > 1.2 * base.mean()
    assert by_name["contrast"].std() < 0.7 * base.std()
    assert abs(by_name["contrast"].mean() - base.mean()) < 0.02


@settings(deadline=None, max_examples=30)
@given(seed=seeds)
def test_what_distortions_start_from_is_well_exposed(seed: int) -> None:
    picture, _ = draw_scene(112, np.random.default_rng(seed))
    luma = well_exposed(picture) @ np.array([0.299, 0.587, 0.114])
    assert 0.35 < luma.mean() < 0.55
    assert luma.std() > 0.1
