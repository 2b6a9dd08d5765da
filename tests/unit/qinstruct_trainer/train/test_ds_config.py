import json
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.train.ds_config import build_ds_config
from support.training.run_configs import run_config

GOLDEN = Path(__file__).parents[3] / "golden" / "trainer"


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("published", {"zero_stage": 3, "precision": "bf16", "gradient_clipping": 0.0}),
        ("zero2-clipped", {"zero_stage": 2, "precision": "fp32", "gradient_clipping": 1.0}),
    ],
)
def test_the_deepspeed_configuration_is_golden(name: str, changes: dict[str, object]) -> None:
    """Hidden size 5120 is 13B's; world size 8 and micro-batch 16 are the published ones."""
    config = run_config(
        Path("prepared.json"),
        Path("output"),
        world_size=8,
        global_batch_size=128,
        micro_batch_size=16,
        **changes,
    )
    found = build_ds_config(config, hidden_size=5120)
    assert found == json.loads((GOLDEN / f"deepspeed-{name}.json").read_text())
    assert "auto" not in json.dumps(found)


def test_a_batch_that_does_not_multiply_out_is_refused() -> None:
    config = run_config(Path("p"), Path("o"), global_batch_size=10)
    with pytest.raises(ConfigError, match="globalBatchSize 10 is not a multiple"):
        build_ds_config(config, hidden_size=64)
