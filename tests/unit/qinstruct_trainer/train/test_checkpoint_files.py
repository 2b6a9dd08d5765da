import os
import pickle
from pathlib import Path

import pytest
import torch

from qinstruct_trainer.train.checkpoint_files import only_weights
from support.pickles import Touch


@pytest.mark.parametrize("allowed", [None, "0", "1"])
def test_no_caller_can_allow_code_and_the_environment_is_as_it_was_before(
    allowed: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    monkeypatch.delenv(name, raising=False)
    if allowed is not None:
        monkeypatch.setenv(name, allowed)
    torch.save(Touch(tmp_path / "code-ran"), tmp_path / "a.pt")
    before = dict(os.environ)
    with only_weights(), pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "a.pt", weights_only=False)
    assert not (tmp_path / "code-ran").exists()
    assert dict(os.environ) == before
