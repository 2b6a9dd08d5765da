"""LlavaLoss is the published loss: proven against transformers' own forward of padded rows."""

from collections.abc import Callable

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Attention
from qinstruct_trainer.model.llava import (
    enable_activation_checkpointing,
    freeze_tower,
)
from qinstruct_trainer.model.loss import LlavaLoss
from support.model.exact import exact_model, padded_logits
from support.model.tiny import (
    IMAGE_TOKEN,
    NUM_PATCHES,
    Samples,
    batch_of,
    pixels_for,
    sample,
    tiny_model,
)

Loss = Callable[[LlavaForConditionalGeneration, Samples, Tensor], Tensor]

IMAGES: Samples = [
    sample([7, 8, 9, 10, 2], image=True, supervised=3),
    sample([20, 21, 2], image=True, supervised=1),
]
PIXELS = pixels_for([True, True])


def published_loss(
    model: LlavaForConditionalGeneration, samples: Samples, pixels: Tensor
) -> Tensor:
    """The logits cut to the text vocabulary, and a plain mean."""
    logits, labels = padded_logits(model, samples, pixels)
    return functional.cross_entropy(
        logits[:, :-1, :IMAGE_TOKEN].flatten(0, 1), labels[:, 1:].flatten()
    )


def our_loss(model: LlavaForConditionalGeneration, samples: Samples, pixels: Tensor) -> Tensor:
    loss: Tensor = LlavaLoss(model)(batch_of(samples, pixels))
    return loss


def checkpointed_loss(
    model: LlavaForConditionalGeneration, samples: Samples, pixels: Tensor
) -> Tensor:
    enable_activation_checkpointing(model)
    tower_layers = model.model.vision_tower.encoder.layers
    assert not any(layer.gradient_checkpointing for layer in tower_layers)
    return our_loss(model, samples, pixels)


def gradients(
    loss: Loss,
    samples: Samples,
    pixels: Tensor,
    model: LlavaForConditionalGeneration | None = None,
) -> tuple[Tensor, dict[str, Tensor | None]]:
    model = tiny_model() if model is None else model
    freeze_tower(model)
    value = loss(model, samples, pixels)
    value.backward()  # type: ignore[no-untyped-call]
    return value.detach(), {name: value.grad for name, value in model.named_parameters()}


@st.composite
def drawn_samples(draw: st.DrawFn) -> tuple[Samples, Tensor]:
    """One to five samples of any lengths, with and without an image."""
    words = st.lists(st.integers(3, IMAGE_TOKEN - 1), min_size=1, max_size=20)
    images = draw(st.lists(st.booleans(), min_size=1, max_size=5))
    samples = []
    for image in images:
        ids = draw(words)
        samples.append(sample(ids, image=image, supervised=draw(st.integers(1, len(ids)))))
    return samples, pixels_for(images, seed=draw(st.integers(0, 99))).double()


@settings(max_examples=20, deadline=None)
@given(
    attention=st.sampled_from(("sdpa", "eager")),
    loss=st.sampled_from((our_loss, checkpointed_loss)),
    drawn=drawn_samples(),
)
def test_loss_and_every_gradient_equal_those_of_padded_rows(
    attention: Attention, loss: Loss, drawn: tuple[Samples, Tensor]
) -> None:
    """In float64 the two differ by the order of sums alone; 1e-9 is far above that."""
    ours, our_gradients = gradients(loss, *drawn, exact_model(attention))
    theirs, their_gradients = gradients(published_loss, *drawn, exact_model(attention))
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    for name, gradient in their_gradients.items():
        found = our_gradients[name]
        if gradient is None:  # transformers leaves the projector of a batch without images alone
            assert found is None or not found.any(), name
        else:
            torch.testing.assert_close(found, gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_each_supervised_token_is_learnt_once() -> None:
    batch = batch_of(IMAGES, PIXELS)
    learnt = [label for _, labels in IMAGES for label in labels if label != -100]
    assert batch.targets.tolist() == learnt


def test_loss_equals_transformers_own_loss_function_with_added_rows_impossible() -> None:
    model = tiny_model()
    logits, labels = padded_logits(model, IMAGES, PIXELS)
    logits[..., IMAGE_TOKEN:] = -torch.inf
    reference = model.loss_function(
        logits=logits, labels=labels, vocab_size=model.config.get_text_config().vocab_size
    )
    ours = our_loss(tiny_model(), IMAGES, PIXELS)
    torch.testing.assert_close(ours, reference, rtol=1e-6, atol=1e-6)


def test_added_vocabulary_rows_never_get_a_gradient() -> None:
    _, found = gradients(our_loss, IMAGES, PIXELS)
    for name in ("model.language_model.embed_tokens.weight", "lm_head.weight"):
        gradient = found[name]
        assert gradient is not None
        assert not gradient[IMAGE_TOKEN:].any()
        assert gradient[:IMAGE_TOKEN].any()


def test_tower_gets_no_gradient_and_everything_else_does() -> None:
    _, found = gradients(our_loss, IMAGES, PIXELS)
    without = {name for name, gradient in found.items() if gradient is None}
    assert without == {name for name in found if name.startswith("model.vision_tower.")}


def test_mixed_batch_is_the_token_weighted_mean_of_its_samples() -> None:
    image = sample([7, 8, 9, 10, 2], image=True, supervised=3)
    text = sample([30, 31, 32, 2], image=False, supervised=1)
    pixels = pixels_for([True, False])
    model = tiny_model()
    mixed = our_loss(model, [image, text], pixels)
    alone_image = our_loss(model, [image], pixels[:1])
    alone_text = our_loss(model, [text], pixels[1:])
    torch.testing.assert_close(mixed, (3 * alone_image + alone_text) / 4, rtol=1e-6, atol=1e-6)
    reference = published_loss(tiny_model(), [text], pixels[1:])
    torch.testing.assert_close(alone_text, reference, rtol=1e-6, atol=1e-6)


def test_text_only_batch_keeps_the_projector_in_the_graph_with_zero_gradients() -> None:
    text = sample([30, 31, 32, 2], image=False, supervised=2)
    _, found = gradients(our_loss, [text], pixels_for([False]))
    for name, gradient in found.items():
        if "multi_modal_projector" in name:
            assert gradient is not None
            assert not gradient.any()


def test_each_image_goes_to_its_own_sample() -> None:
    samples = [sample([7, 8, 2], image=True, supervised=2)] * 2
    model = tiny_model()
    both = our_loss(model, samples, PIXELS)
    apart = [our_loss(model, samples[:1], PIXELS[i : i + 1]) for i in range(2)]
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
    assert torch.equal(embeds, complete[: len(cut[0])])
    assert torch.equal(embeds[1:], features[0, : NUM_PATCHES - 2])


def test_no_supervised_token_is_zero_with_a_graph() -> None:
    cut = sample([], image=True, supervised=0, num_image_tokens=2)
    loss, found = gradients(our_loss, [cut], pixels_for([True]))
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


def test_activation_checkpointing_changes_no_gradient() -> None:
    plain, plain_gradients = gradients(our_loss, IMAGES, PIXELS)
    again, again_gradients = gradients(checkpointed_loss, IMAGES, PIXELS)
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
