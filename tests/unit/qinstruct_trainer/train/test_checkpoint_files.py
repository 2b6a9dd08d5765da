import copyreg
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from qinstruct_trainer.train.checkpoint_files import only_weights, safe_checkpoint_engine
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


def test_a_checkpoint_of_any_python_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python 3.11.0 to 3.11.3, Debian's among them, store an enum's member as a call of getattr."""
    from deepspeed.runtime.checkpoint_engine.torch_checkpoint_engine import TorchCheckpointEngine
    from deepspeed.runtime.model_checkpointing import CHECKPOINT_SERIALIZATION
    from deepspeed.runtime.zero.config import ZeroStageEnum

    monkeypatch.delitem(copyreg.dispatch_table, ZeroStageEnum, raising=False)
    monkeypatch.setattr(
        ZeroStageEnum, "__reduce_ex__", lambda self, _: (getattr, (type(self), self.name))
    )
    config = SimpleNamespace(checkpoint_config={CHECKPOINT_SERIALIZATION: True})
    engine = safe_checkpoint_engine(TorchCheckpointEngine(config))
    path = str(tmp_path / "optim_states.pt")
    state = {"zero_stage": ZeroStageEnum.gradients, "step": 3}
    engine.save(state, path)
    assert engine.load(path) == state
