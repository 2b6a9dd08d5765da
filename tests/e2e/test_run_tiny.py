"""The promise of the README: one command, and a tiny LLaVA has learnt to judge pictures."""

import math
from pathlib import Path
from typing import Any

import pytest
from transformers import LlavaForConditionalGeneration

from cluster.node import real_node
from qinstruct_trainer.contract.errors import EXIT_OK
from qinstruct_trainer.contract.events import Evaluation
from support import matrix
from support.cli.run_command import Command
from support.operator_documents import SAMPLES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(
        not matrix.IS_WHOLE and real_node.why_not() is None,
        reason="cluster/test_real_pods.py trains the same to its end; here too: make test-all",
    ),
]


def test_run_tiny_learns(tmp_path: Path) -> None:
    command = Command(SAMPLES / "run-tiny.yaml", tmp_path, tmp_path / "cache", name="run-tiny")

    code, said = command.run()

    assert code == EXIT_OK, said
    found = Evaluation.model_validate_json((command.folder / "evaluation.json").read_bytes())
    trained, untrained = found.trained, found.untrained
    assert trained.questions == untrained.questions >= 300
    assert trained.accuracy >= trained.majority + 0.20
    # Chance is at most the majority answer's share; five standard deviations above are no luck.
    deviation = math.sqrt(untrained.majority * (1 - untrained.majority) / untrained.questions)
    assert untrained.accuracy <= untrained.majority + 5 * deviation
    assert f"Accuracy on {trained.questions} held-out questions" in said
    assert "What the trained model says about pictures it has not seen" in said

    # With output_loading_info it returns a pair, which its annotation does not say.
    loaded: Any = LlavaForConditionalGeneration.from_pretrained(
        command.folder / "model", output_loading_info=True
    )
    _, loading = loaded
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]
