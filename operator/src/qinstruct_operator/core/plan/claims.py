"""The volume claims of a run: the shared cache and its own output. Pure."""

from collections.abc import Iterator

from qinstruct_operator.api.spec import Spec
from qinstruct_operator.core import names
from qinstruct_operator.core.plan import disk
from qinstruct_operator.core.plan.types import Claim
from qinstruct_operator.core.quantity import parse_quantity
from qinstruct_operator.errors import Violation
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.config import Source


def cache_claim(spec: Spec, settings: Settings, sources: tuple[Source, ...]) -> Claim:
    """The claim with published data and models; a small one for built-in data alone."""
    if spec.data.claim_name:
        return Claim(spec.data.claim_name, None, None, owned=False)
    if spec.size == "Tiny" and all(source.kind == "builtin" for source in sources):
        size = disk.quantity(2 * disk.cache_bytes(sources, None))
        return Claim(names.TINY_CACHE_CLAIM, size, settings.cache_storage_class, owned=False)
    return Claim(names.CACHE_CLAIM, settings.cache_size, settings.cache_storage_class, owned=False)


def has_room(claim: Claim, num_bytes: int) -> bool | None:
    """Whether a claim of that size holds so many bytes; None of one that somebody else has made."""
    size = parse_quantity(claim.size or "")
    return None if size is None else num_bytes <= size


def output_claim(spec: Spec, name: str, num_bytes: int) -> Claim:
    """The claim for checkpoints and the model, with the size that is asked for or needed."""
    output = spec.output
    if output.claim_name:
        return Claim(output.claim_name, None, None, owned=False)
    return Claim(
        names.output_name(name),
        output.size or disk.quantity(num_bytes),
        output.storage_class_name,
        owned=not output.retain,
    )


def output_violations(spec: Spec, num_bytes: int) -> Iterator[Violation]:
    """The output claim must be large enough: a full one stops the run hours later."""
    output, needed = spec.output, disk.quantity(num_bytes)
    if output.claim_name or not output.size:
        return
    if (parse_quantity(output.size) or 0) < num_bytes:
        yield Violation(
            "spec.output.size",
            output.size,
            f"is less than the {needed} that {spec.checkpoint.keep + 2} checkpoints and the "
            f"exported model take (checkpoint.keep {spec.checkpoint.keep}, one being written, a "
            "damaged one set aside)",
            f"use at least {needed}, or remove it",
        )
