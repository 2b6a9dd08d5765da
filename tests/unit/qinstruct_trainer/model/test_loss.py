"""LlavaLoss is the published loss: proven against transformers' own forward."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.data.collate import Batch
from qinstruct_trainer.model.llava import (
    enable_activation_checkpointing,
    freeze_tower,
)
from qinstruct_trainer.model.loss import LlavaLoss
from support.model.tiny import IMAGE_TOKEN, NUM_PATCHES, batch_of, pixels_for, sample, tiny_model

Loss = Callable[[LlavaForConditionalGeneration, Batch], Tensor]


def published_loss(model: LlavaForConditionalGeneration, batch: Batch) -> Tensor:
    """transformers' forward, its logits sliced to the text vocabulary, and a plain mean."""
    logits = model(
        input_ids=batch.input_ids,
        pixel_values=batch.pixel_values,
        attention_mask=batch.attention_mask,
        use_cache=False,
    ).logits[:, :-1, :IMAGE_TOKEN]
    return functional.cross_entropy(logits.flatten(0, 1).float(), batch.labels[:, 1:].flatten())


def our_loss(model: LlavaForConditionalGeneration, batch: Batch) -> Tensor:
    loss: Tensor = LlavaLoss(model)(batch)
    return loss


def gradients(loss: Loss, batch: Batch) -> tuple[Tensor, dict[str, Tensor | None]]:
    model = tiny_model()
    freeze_tower(model)
    value = loss(model, batch)
    value.backward()  # type: ignore[no-untyped-call]
    return value.detach(), {name: value.grad for name, value in model.named_parameters()}


def image_batch() -> Batch:
    samples = [
        sample([7, 8, 9, 10, 2], image=True, supervised=3),
        sample([20, 21, 2], image=True, supervised=1),
    ]
    return batch_of(samples, pixels_for([True, True]))


def test_loss_and_gradients_equal_transformers_on_image_samples() -> None:
    ours, our_gradients = gradients(our_loss, image_batch())
    published, their_gradients = gradients(published_loss, image_batch())
    torch.testing.assert_close(ours, published, rtol=1e-6, atol=1e-6)
    assert our_gradients.keys() == their_gradients.keys()
    for name, gradient in our_gradients.items():
        torch.testing.assert_close(gradient, their_gradients[name], rtol=1e-4, atol=1e-6, msg=name)


def test_loss_equals_transformers_own_loss_function_with_added_rows_impossible() -> None:
    model, batch = tiny_model(), image_batch()
    logits = model(
        input_ids=batch.input_ids,
        pixel_values=batch.pixel_values,
        attention_mask=batch.attention_mask,
        use_cache=False,
    ).logits
    logits[..., IMAGE_TOKEN:] = -torch.inf
    reference = model.loss_function(
        logits=logits, labels=batch.labels, vocab_size=model.config.get_text_config().vocab_size
    )
    torch.testing.assert_close(our_loss(model, batch), reference, rtol=1e-6, atol=1e-6)


def test_added_vocabulary_rows_never_get_a_gradient() -> None:
    _, found = gradients(our_loss, image_batch())
    for name in ("model.language_model.embed_tokens.weight", "lm_head.weight"):
        gradient = found[name]
        assert gradient is not None
        assert not gradient[IMAGE_TOKEN:].any()
        assert gradient[:IMAGE_TOKEN].any()


def test_tower_gets_no_gradient_and_everything_else_does() -> None:
    _, found = gradients(our_loss, image_batch())
    without = {name for name, gradient in found.items() if gradient is None}
    assert without == {name for name in found if name.startswith("model.vision_tower.")}


def test_padding_does_not_change_the_loss() -> None:
    samples = [sample([7, 8, 9, 10, 2], image=True, supervised=3)]
    alone = our_loss(tiny_model(), batch_of(samples, pixels_for([True])))
    padded = our_loss(tiny_model(), batch_of(samples, pixels_for([True]), pad_to=40))
    torch.testing.assert_close(alone, padded, rtol=1e-6, atol=1e-6)


def test_mixed_batch_is_the_token_weighted_mean_of_its_samples() -> None:
    image = sample([7, 8, 9, 10, 2], image=True, supervised=3)
    text = sample([30, 31, 32, 2], image=False, supervised=1)
    pixels = pixels_for([True, False])
    model = tiny_model()
    mixed = our_loss(model, batch_of([image, text], pixels))
    alone_image = our_loss(model, batch_of([image], pixels[:1]))
    alone_text = our_loss(model, batch_of([text], pixels[1:]))
    torch.testing.assert_close(mixed, (3 * alone_image + alone_text) / 4, rtol=1e-6, atol=1e-6)
    text_model_only = model(
        input_ids=torch.tensor([text[0]]), labels=torch.tensor([text[1]]), use_cache=False
    ).logits[0, -2, :IMAGE_TOKEN]
    reference = functional.cross_entropy(text_model_only, torch.tensor(2))
    torch.testing.assert_close(alone_text, reference, rtol=1e-6, atol=1e-6)


def test_text_only_batch_keeps_the_projector_in_the_graph_with_zero_gradients() -> None:
    text = sample([30, 31, 32, 2], image=False, supervised=2)
    _, found = gradients(our_loss, batch_of([text], pixels_for([False])))
    for name, gradient in found.items():
        if "multi_modal_projector" in name:
            assert gradient is not None
            assert not gradient.any()


def test_each_image_goes_to_its_own_sample() -> None:
    samples = [sample([7, 8, 2], image=True, supervised=2)] * 2
    pixels = pixels_for([True, True])
    model = tiny_model()
    both = our_loss(model, batch_of(samples, pixels))
    apart = [our_loss(model, batch_of([samples[i]], pixels[i : i + 1])) for i in range(2)]
    assert apart[0] != apart[1]
    torch.testing.assert_close(both, (apart[0] + apart[1]) / 2, rtol=1e-6, atol=1e-6)


def test_sample_cut_inside_its_image_run_uses_the_first_features() -> None:
    """The cut sample's inputs equal the first ones of the whole sample."""
    whole = sample([7, 8, 2], image=True, supervised=2)
    cut = sample([], image=True, supervised=0, num_image_tokens=NUM_PATCHES - 2)
    loss = LlavaLoss(tiny_model())
    pixels = pixels_for([True])
    features = loss._image_features(pixels)
    embeds = loss._embed(batch_of([cut], pixels), features)
    complete = loss._embed(batch_of([whole], pixels), features)
    assert torch.equal(embeds, complete[:, : len(cut[0])])
    assert torch.equal(embeds[0, 1:], features[0, : NUM_PATCHES - 2])


def test_no_supervised_token_is_zero_with_a_graph() -> None:
    cut = sample([], image=True, supervised=0, num_image_tokens=2)
    loss, found = gradients(our_loss, batch_of([cut], pixels_for([True])))
    assert loss == 0.0
    for name, gradient in found.items():
        if not name.startswith("model.vision_tower."):
            assert gradient is not None, name
            assert not gradient.any(), name


def test_features_are_the_second_last_layers_without_the_class_token() -> None:
    model = tiny_model()
    pixels = pixels_for([True])
    tower = model.model.vision_tower
    hidden = tower.pre_layrnorm(tower.embeddings(pixels))
    for layer in tower.encoder.layers[:-1]:
        hidden = layer(hidden, attention_mask=None)
    expected = model.model.multi_modal_projector(hidden[:, 1:])
    assert torch.equal(LlavaLoss(model)._image_features(pixels), expected)


def test_activation_checkpointing_changes_no_gradient_and_spares_the_tower() -> None:
    def checkpointed(model: LlavaForConditionalGeneration, batch: Batch) -> Tensor:
        enable_activation_checkpointing(model)
        tower_layers = model.model.vision_tower.encoder.layers
        assert not any(layer.gradient_checkpointing for layer in tower_layers)
        return our_loss(model, batch)

    plain, plain_gradients = gradients(our_loss, image_batch())
    again, again_gradients = gradients(checkpointed, image_batch())
    assert torch.equal(plain, again)
    for name, gradient in plain_gradients.items():
        if gradient is not None:
            other = again_gradients[name]
            assert other is not None
            assert torch.equal(gradient, other), name


def test_train_mode_leaves_the_tower_in_eval() -> None:
    loss = LlavaLoss(tiny_model())
    loss.train()
    assert loss.model.model.language_model.training
    assert not any(module.training for module in loss.model.model.vision_tower.modules())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_implementations_agree(attention: str) -> None:
    eager = our_loss(tiny_model(), image_batch())
    other = our_loss(tiny_model(attention=attention), image_batch())
    torch.testing.assert_close(eager, other, rtol=1e-5, atol=1e-6)
