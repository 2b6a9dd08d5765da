"""What a training workload was made from, read from its own object. Pure.

The run's spec and the operator's settings may have changed since; these have not.
"""

from dataclasses import dataclass

from qinstruct_operator.constants import (
    ANNOTATION_GENERATION,
    ANNOTATION_TRAINER_IMAGE,
    LABEL_ATTEMPT,
)
from qinstruct_operator.core.backends import Backend
from qinstruct_operator.core.children.pod import OUTPUT_VOLUME
from qinstruct_operator.core.untyped_json import Raw, objects, text
from qinstruct_trainer.contract.safe_text import one_line


@dataclass(frozen=True)
class MadeFrom:
    """What a workload's pod template says.

    Attributes:
        image: of the training container.
        output_claim: that receives checkpoints and the model.
    """

    image: str
    output_claim: str


def made_from(workload: Raw, backend: Backend) -> MadeFrom | None:
    """What a workload of a backend was made from; None where it is not as we make it."""
    try:
        pod = backend.pod_template(dict(workload))["spec"]
    except (KeyError, TypeError):
        return None
    containers = {text(each, "name"): each for each in objects(pod, "containers")}
    volumes = {text(each, "name"): each for each in objects(pod, "volumes")}
    image = one_line(text(containers.get(backend.container), "image"))
    claim = text(volumes.get(OUTPUT_VOLUME), "persistentVolumeClaim", "claimName")
    return MadeFrom(image, one_line(claim)) if image and claim else None


def image_for_training(prep: Raw) -> str:
    """The image that is to train on what a prep Job prepares; empty: an older version made it."""
    return one_line(text(prep, "metadata", "annotations", ANNOTATION_TRAINER_IMAGE))


def attempt_of(workload: Raw) -> int | None:
    """Which attempt a training workload, or its pod, is; None: it does not say."""
    said = text(workload, "metadata", "labels", LABEL_ATTEMPT)
    return _number(said, 5) or None


def generation_of(child: Raw) -> int | None:
    """The generation of the run's spec that a child was made from; None: it does not say."""
    said = text(child, "metadata", "annotations", ANNOTATION_GENERATION)
    return _number(said, 18)


def _number(said: str, digits: int) -> int | None:
    """The number that is said, in ASCII and not too long; a label is anybody's to edit."""
    is_number = said.isascii() and said.isdecimal() and len(said) <= digits
    return int(said) if is_number else None
