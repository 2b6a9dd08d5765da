import pytest
import torch
from transformers import LlamaConfig, LlavaConfig

from qinstruct_trainer.train.metrics.flops import peak_flops, step_flops


def test_flops_of_a_7b_sample_are_those_of_the_reference() -> None:
    """27.7 TFLOP for 690 tokens, with 0.37 for the tower (llama-7B, CLIP-L/14-336)."""
    config = LlavaConfig(
        text_config=LlamaConfig(
            hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, vocab_size=32064
        )
    )
    found = step_flops(config, tokens=690, squared=690**2, images=1)
    assert found == pytest.approx(27.7e12, rel=0.03)


def test_a_text_only_step_computes_no_image() -> None:
    config = LlavaConfig()
    text_only = step_flops(config, tokens=690, squared=690**2, images=0)
    one_image = step_flops(config, tokens=690, squared=690**2, images=1)
    assert one_image - text_only == pytest.approx(0.348e12, rel=0.01)  # CLIP-L/14-336, forward


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA A100-SXM4-80GB", 312e12), ("NVIDIA H100 80GB HBM3", 989e12), ("Tesla T4", None)],
)
def test_the_peak_of_a_gpu_is_known_by_its_name(
    name: str, peak: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: name)
    assert peak_flops(torch.device("cuda")) == peak


def test_a_cpu_has_no_known_peak() -> None:
    assert peak_flops(torch.device("cpu")) is None
