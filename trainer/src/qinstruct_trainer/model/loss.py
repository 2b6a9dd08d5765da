"""The training forward: the loss of the published LLaVA-v1.5 code, on the Hugging Face model.

It differs from `LlavaForConditionalGeneration.forward` in four points, all of them the
original's (recipe: llava_arch.py, llava_llama.py): a text-only sample carries a dummy image
whose features are computed and unused, so that every rank runs the same modules; an image run
may be cut by the maximal length; the softmax is over the text vocabulary alone; and the mean
is over the supervised tokens of this micro-batch.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.data.collate import Batch
from qinstruct_trainer.model.attention import keywords


class LlavaLoss(nn.Module):
    """Mean cross-entropy over the supervised tokens of a micro-batch.

    Where records of several micro-batches share a row, each token is divided by the number of its
    own one (`Batch.divisors`), so that the losses of all rows add up to the sum of those means.

    The vocabulary's added rows (from the image token on: 32,000 in 7B and 13B) are outside the
    softmax and never read as input, so they never get a gradient other than zero.
    """

    def __init__(self, model: LlavaForConditionalGeneration) -> None:
        super().__init__()
        self.model = model
        self.num_text_tokens: int = model.config.image_token_index

    def train(self, mode: bool = True) -> Self:
        """Training mode for everything but the frozen tower."""
        super().train(mode)
        self.model.model.vision_tower.eval()
        return self

    def forward(self, batch: Batch) -> Tensor:
        """The loss, a float32 scalar; 0 with a graph when no token is supervised.

        The original gives NaN in that last case, and pads all samples to the longest one.

        Args:
            batch: Samples one after another, an image each (zeros when text-only); or several of
                one image behind what they share.
        """
        inputs_embeds = self._embed(batch, self._image_features(batch.pixel_values))
        hidden = self.model.model.language_model(
            inputs_embeds=inputs_embeds.unsqueeze(0),
            position_ids=batch.positions.unsqueeze(0),
            use_cache=False,  # with a cache, the samples would silently see each other
            **keywords(batch),
        ).last_hidden_state  # [1, T, hidden]
        # The whole head, sliced after: under ZeRO-3 only the module's call gathers its weight.
        logits = self.model.lm_head(hidden[0, batch.learnt])[:, : self.num_text_tokens]
        wide = torch.promote_types(logits.dtype, torch.float32)
        if batch.divisors is not None:
            losses = functional.cross_entropy(logits.to(wide), batch.targets, reduction="none")
            return (losses / batch.divisors).sum()
        loss_sum = functional.cross_entropy(logits.to(wide), batch.targets, reduction="sum")
        loss: Tensor = loss_sum / max(1, len(batch.targets))
        return loss

    def _image_features(self, pixel_values: Tensor) -> Tensor:
        """Projected patch features, [B, patches, hidden], of images [B, 3, size, size]."""
        model = self.model.model
        config = self.model.config
        with torch.no_grad():
            states = model.vision_tower(
                pixel_values.to(model.vision_tower.dtype), output_hidden_states=True
            ).hidden_states
        patches = states[config.vision_feature_layer][:, 1:]  # without the class token
        features: Tensor = model.multi_modal_projector(patches)
        return features

    def _embed(self, batch: Batch, features: Tensor) -> Tensor:
        """Token embeddings [T, hidden], the placeholders replaced by the images' features."""
        embeds: Tensor = self.model.get_input_embeddings()(batch.input_ids)
        image, patch = batch.shown
        chosen = features[image, patch].to(embeds.dtype)
        embeds = embeds.index_copy(0, batch.image_places, chosen)
        # Keeps the projector in the graph of a text-only batch, with zero gradients.
        return embeds + 0.0 * features.sum().to(embeds.dtype)
