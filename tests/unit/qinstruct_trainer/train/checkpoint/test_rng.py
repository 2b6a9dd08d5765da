import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.train.checkpoint.rng import load_rng, save_rng
from support.pickles import add_code


def test_all_generators_go_on_where_they_were_saved(tmp_path: Path) -> None:
    save_rng(tmp_path, rank=3)
    expected = _draw()
    assert _draw() != expected
    load_rng(tmp_path, rank=3)
    assert _draw() == expected


def test_the_second_of_a_pair_of_normal_numbers_is_not_lost(tmp_path: Path) -> None:
    """Both generators make two at once, and keep one for the next call."""
    random.gauss(0, 1)
    np.random.normal()
    save_rng(tmp_path, rank=0)
    expected = random.gauss(0, 1), np.random.normal()
    random.seed(1)
    np.random.seed(1)
    load_rng(tmp_path, rank=0)
    assert (random.gauss(0, 1), np.random.normal()) == expected


def test_the_generators_of_all_gpus_are_among_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no GPU where this runs: what torch would be asked to do is noted."""
    states = [torch.tensor([number], dtype=torch.uint8) for number in (7, 8)]
    restored: list[torch.Tensor] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: states)
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", restored.extend)
    save_rng(tmp_path, rank=0)
    load_rng(tmp_path, rank=0)
    assert [state.tolist() for state in restored] == [[7], [8]]


def test_a_rank_takes_its_own_states(tmp_path: Path) -> None:
    drawn = {}
    for rank in (0, 1):
        torch.manual_seed(rank)
        save_rng(tmp_path, rank)
        drawn[rank] = _draw()
    for rank in (0, 1):
        load_rng(tmp_path, rank)
        assert _draw() == drawn[rank]


def test_each_rank_has_its_own_file(tmp_path: Path) -> None:
    for rank in (0, 12):
        save_rng(tmp_path, rank)
    assert {path.name for path in tmp_path.iterdir()} == {"rng-00000.pt", "rng-00012.pt"}


def _code(path: Path) -> None:
    add_code(path, path.with_name("code-ran"))


def _change(path: Path, generator: str, position: int, value: object) -> None:
    """One value of a generator's state, which runs no code but may be out of bounds."""
    content = torch.load(path)
    content[generator][position] = value
    torch.save(content, path)


@pytest.mark.parametrize(
    "attack",
    [
        _code,
        lambda path: torch.save([], path),
        lambda path: torch.save({"torch": 1}, path),
        lambda path: torch.save(torch.load(path) | {"python": [3, [1], None]}, path),
        lambda path: torch.save(torch.load(path) | {"torch": torch.zeros(3)}, path),
        lambda path: torch.save(torch.load(path) | {"numpy": ["MT19937", None, 1, 2, 3]}, path),
        lambda path: path.write_bytes(b"x"),
        lambda path: _change(path, "numpy", 2, 600_000_000),
        lambda path: _change(path, "numpy", 2, 625),
        lambda path: _change(path, "numpy", 2, -5),
        lambda path: _change(path, "numpy", 2, float("nan")),
        lambda path: _change(path, "numpy", 0, "PCG64"),
        lambda path: _change(path, "numpy", 1, torch.zeros(3, dtype=torch.int64)),
        lambda path: _change(path, "numpy", 4, "1e400"),
        lambda path: _change(path, "python", 1, [0] * 624 + [625]),
        lambda path: _change(path, "python", 1, [2**40] * 625),
        lambda path: _change(path, "python", 2, "1.0"),
    ],
)
def test_what_are_no_states_is_refused_in_a_sentence(
    attack: Callable[[Path], object], tmp_path: Path
) -> None:
    save_rng(tmp_path, 0)
    attack(tmp_path / "rng-00000.pt")
    with pytest.raises(DataError, match=r"rng-00000\.pt .*; delete ") as refused:
        load_rng(tmp_path, 0)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "code-ran").exists()


def _draw() -> tuple[float, ...]:
    normal = np.random.normal()
    return random.random(), random.gauss(0, 1), normal, float(torch.rand(1))
