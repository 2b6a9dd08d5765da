from pathlib import Path

from qinstruct_trainer.model.llava import freeze_tower
from qinstruct_trainer.train.optimizer.adamw import build_optimizer
from support.model.tiny import tiny_model
from support.training.run_configs import run_config


def test_matrices_decay_and_biases_and_norms_do_not(tmp_path: Path) -> None:
    model = tiny_model()
    freeze_tower(model)
    config = run_config(tmp_path, tmp_path, learning_rate=2e-5, weight_decay=0.1)
    optimizer = build_optimizer(model, config, fused=False)
    decay, keep = optimizer.param_groups
    assert (decay["weight_decay"], keep["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in decay["params"]} == {2}
    assert {p.ndim for p in keep["params"]} == {1}
    tower = sum(1 for _ in model.model.vision_tower.parameters())
    total = sum(1 for _ in model.parameters())
    assert len(decay["params"]) + len(keep["params"]) == total - tower
    assert (decay["betas"], decay["eps"]) == ((0.9, 0.999), 1e-8)
