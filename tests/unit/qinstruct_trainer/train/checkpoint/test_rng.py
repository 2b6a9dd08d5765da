import random
from pathlib import Path

import numpy as np
import torch

from qinstruct_trainer.train.checkpoint.rng import load_rng, save_rng


def test_all_generators_go_on_where_they_were_saved(tmp_path: Path) -> None:
    save_rng(tmp_path, rank=3)
    expected = _draw()
    assert _draw() != expected
    load_rng(tmp_path, rank=3)
    assert _draw() == expected


def test_each_rank_has_its_own_file(tmp_path: Path) -> None:
    for rank in (0, 12):
        save_rng(tmp_path, rank)
    assert {path.name for path in tmp_path.iterdir()} == {"rng-00000.pt", "rng-00012.pt"}


def _draw() -> tuple[float, ...]:
    normal = np.random.normal()
    return random.random(), random.gauss(0, 1), normal, float(torch.rand(1))
