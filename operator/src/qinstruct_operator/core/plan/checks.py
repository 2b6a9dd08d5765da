"""Rules about a spec that need no arithmetic, each a function from it to its violations. Pure.

`LATER` lists the fields that the schema has and this version does not act on: using one is
refused, so that nothing is silently ignored.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from qinstruct_operator.api.spec import Spec
from qinstruct_operator.catalog import recipes
from qinstruct_operator.catalog.gpus import PRODUCT_GIGABYTES
from qinstruct_operator.catalog.sizes import SIZES, STATE_BYTES
from qinstruct_operator.constants import GPU_PRODUCT_LABEL, SECRET_PREFIX
from qinstruct_operator.core import names
from qinstruct_operator.core.backends import BACKENDS
from qinstruct_operator.core.plan.gpus import gpu_plan
from qinstruct_operator.core.plan.source_checks import sources_are_usable
from qinstruct_operator.errors import Violation
from qinstruct_trainer.contract.urls import shown_url

_IMAGE_TOKENS = 576  # (336 / 14)^2: what one image takes of the sequence
_TEXT_TOKENS = 64  # the conversation around it, at the least
_MARGIN_SECONDS = 60  # in which the operator makes what is due

LATER: Final = (
    "spec.gpu.nodes",
    "spec.output.push",
    "spec.recovery.startupSeconds",
    "spec.recovery.firstStepSeconds",
    "spec.recovery.stallFactor",
    "spec.budget.maxGpuHours",
    "spec.tracking.tensorboard",
    "spec.tracking.wandb",
    "spec.evaluation.qbench",
    "spec.backend",
    "spec.patches",
)
"""Fields (of `backend`, values) that this version does not support; their defaults do nothing."""

Check = Callable[[Spec], Iterator[Violation]]


def violations(spec: Spec) -> tuple[Violation, ...]:
    """The violations that all checks find."""
    return tuple(violation for check in CHECKS for violation in check(spec))


def not_supported_yet(spec: Spec) -> Iterator[Violation]:
    """Fields of `LATER` that differ from their defaults."""
    default = Spec(size=spec.size, strategy=spec.strategy)
    for path in LATER:
        value = _at(spec, path)
        if value != _at(default, path) and not _is_backend(path, value):
            shown = value if isinstance(value, str | int | float) else None
            yield Violation(path, shown, "is not supported yet in this version", "remove it")


def _is_backend(path: str, value: object) -> bool:
    """Whether it is a backend that exists already."""
    return path == "spec.backend" and value in BACKENDS


def _at(spec: Spec, path: str) -> Any:
    """The value of a field by its path in the document."""
    value: Any = {"spec": spec.model_dump(mode="json")}
    for part in path.split("."):
        value = value[part]
    return value


def suspension_is_not_the_queues(spec: Spec) -> Iterator[Violation]:
    """Kueue would let go on at once what it has admitted."""
    if spec.suspend and (spec.scheduling.queue_name or spec.prep.queue_name):
        yield Violation(
            "spec.suspend",
            True,
            "cannot be true beside a queueName, because Kueue starts and stops what is in a queue",
            "set spec.active of the run's Kueue Workload to false instead",
        )


def gpu_only_with_a_gpu_size(spec: Spec) -> Iterator[Violation]:
    """Tiny trains on CPUs."""
    if spec.size == "Tiny" and "gpu" in spec.model_fields_set:
        yield Violation(
            "spec.gpu", None, "means nothing for size Tiny, which trains on CPUs", "remove it"
        )
    if spec.size == "Tiny" and spec.training.attention == "flash_attention_2":
        yield Violation(
            "spec.training.attention",
            "flash_attention_2",
            "needs a GPU, and size Tiny trains on CPUs",
            "use sdpa or eager, or remove it",
        )


def prefix_has_its_attention(spec: Spec) -> Iterator[Violation]:
    """Only one kernel lets branches see what they share."""
    kernel = spec.training.attention
    if spec.training.packing == "prefix" and kernel not in (None, recipes.PREFIX_ATTENTION):
        yield Violation(
            "spec.training.attention",
            kernel,
            "cannot share a prefix, which packing prefix asks for",
            f"use {recipes.PREFIX_ATTENTION}, or remove it",
        )


def product_is_large_enough(spec: Spec) -> Iterator[Violation]:
    """The class that the published run used is the least that a size accepts."""
    gpu = gpu_plan(spec)
    if gpu and not gpu.is_large_enough:
        needed = gpu.gpu_class.gigabytes
        enough = [name for name, size in PRODUCT_GIGABYTES.items() if size >= needed]
        yield Violation(
            "spec.gpu.product",
            spec.gpu.product,
            f"has {gpu.gigabytes} GB, and size {spec.size} needs GPUs of {needed} GB "
            f"({_states_sentence(spec)})",
            f"use auto or one of {', '.join(enough)}",
        )


def _states_sentence(spec: Spec) -> str:
    """Why the class is needed: the part of the memory that no batch size changes."""
    network = SIZES[spec.size].network
    parameters = network.parameters if network else 0
    states = STATE_BYTES * parameters / spec.gpu.per_node / 1e9
    return (
        f"{parameters / 1e9:.1f}e9 parameters x {STATE_BYTES} bytes / {spec.gpu.per_node} GPUs = "
        f"{states:.1f} GB of model states, before activations and logits"
    )


def selection_is_unambiguous(spec: Spec) -> Iterator[Violation]:
    """A node is selected in one way."""
    if spec.gpu.product != "auto" and not spec.gpu.allow_larger:
        yield Violation(
            "spec.gpu.allowLarger",
            False,
            f"means nothing with product {spec.gpu.product}, which is exact already",
            "remove one of the two",
        )
    if spec.gpu.strict and not spec.gpu.allow_larger:
        yield Violation(
            "spec.gpu.allowLarger",
            False,
            "means nothing with strict, which is exact already",
            "remove one of the two",
        )
    if spec.gpu.strict and GPU_PRODUCT_LABEL in spec.scheduling.node_selector:
        yield Violation(
            f"spec.scheduling.nodeSelector.{GPU_PRODUCT_LABEL}",
            spec.scheduling.node_selector[GPU_PRODUCT_LABEL],
            "is set by gpu.strict already",
            "set gpu.product instead",
        )


def tolerations_are_complete(spec: Spec) -> Iterator[Violation]:
    """The API server would refuse such a toleration in a pod."""
    groups = {"prep": spec.prep.tolerations, "scheduling": spec.scheduling.tolerations}
    numbered = [(group, *each) for group, listed in groups.items() for each in enumerate(listed)]
    for group, index, toleration in numbered:
        field = f"spec.{group}.tolerations[{index}]"
        if toleration.operator == "Exists" and toleration.value is not None:
            yield Violation(
                f"{field}.value",
                toleration.value,
                "may not be given with operator Exists",
                "remove it, or use operator Equal",
            )
        if toleration.operator == "Equal" and toleration.key is None:
            yield Violation(f"{field}.key", None, "is missing for operator Equal", "name the taint")
        if toleration.toleration_seconds is not None and toleration.effect != "NoExecute":
            yield Violation(
                f"{field}.tolerationSeconds",
                toleration.toleration_seconds,
                "needs effect NoExecute",
                "set effect: NoExecute, or remove it",
            )


def secret_is_for_runs(spec: Spec) -> Iterator[Violation]:
    """Who may create runs may not thereby use every Secret of the namespace."""
    secret = spec.data.token_secret_ref
    if secret is not None and not secret.name.startswith(SECRET_PREFIX):
        yield Violation(
            "spec.data.tokenSecretRef.name",
            secret.name,
            f"does not begin with {SECRET_PREFIX}, as the Secrets do that runs may use",
            f"make a Secret {SECRET_PREFIX}{secret.name} with the token",
        )


def dropping_is_asked_for(spec: Spec) -> Iterator[Violation]:
    """`maxMissing` only means something with Drop."""
    if spec.data.max_missing and spec.data.missing_images == "Fail":
        yield Violation(
            "spec.data.maxMissing",
            spec.data.max_missing,
            "means nothing with missingImages Fail",
            "set missingImages: Drop, or remove it",
        )


def model_is_usable(spec: Spec) -> Iterator[Violation]:
    """`base` is a hub repository, an absolute folder or a file address."""
    base, revision = spec.model.base, spec.model.revision
    local = base is not None and base.startswith(("/", "file:///"))
    if base is not None and not local and (base.count("/") != 1 or ":" in base or " " in base):
        yield Violation(
            "spec.model.base",
            shown_url(base),
            "is no hub repository, absolute folder or file:/// address",
            "write owner/name, /folder or file:///folder",
        )
    if revision and (local or (spec.size == "Tiny" and base is None)):
        yield Violation(
            "spec.model.revision",
            revision,
            "means nothing without a hub repository to take it from",
            "remove it, or set model.base to owner/name",
        )


def waits_are_bounded(spec: Spec) -> Iterator[Violation]:
    """The first wait is the shortest."""
    recovery = spec.recovery
    if recovery.backoff_seconds > recovery.max_backoff_seconds:
        yield Violation(
            "spec.recovery.backoffSeconds",
            recovery.backoff_seconds,
            f"is longer than maxBackoffSeconds {recovery.max_backoff_seconds}",
            "lower it, or raise maxBackoffSeconds",
        )


def clean_up_comes_after_the_next_attempt(spec: Spec) -> Iterator[Violation]:
    """A workload that has failed tells the next one what was used up before it."""
    seconds, longest = spec.scheduling.ttl_seconds_after_finished, spec.recovery.max_backoff_seconds
    least = longest + _MARGIN_SECONDS
    if seconds is not None and seconds < least:
        yield Violation(
            "spec.scheduling.ttlSecondsAfterFinished",
            seconds,
            f"is too short: another attempt may begin {longest} seconds after one that has failed "
            "(recovery.maxBackoffSeconds), and needs what that one says",
            f"use at least {least}, or lower maxBackoffSeconds",
        )


def own_claim_is_not_sized(spec: Spec) -> Iterator[Violation]:
    """A claim that exists already has its size, class and owner."""
    output = spec.output
    given = {
        "size": output.size,
        "storageClassName": output.storage_class_name,
        "retain": None if output.retain else False,
    }
    for name, value in given.items():
        if output.claim_name and value is not None:
            yield Violation(
                f"spec.output.{name}",
                value,
                "means nothing with output.claimName, a claim that exists already",
                "remove one of the two",
            )


def output_is_not_shared(spec: Spec) -> Iterator[Violation]:
    """Two runs that write one output would resume from each other's checkpoints."""
    name = spec.output.claim_name
    caches = {spec.data.claim_name, names.CACHE_CLAIM, names.TINY_CACHE_CLAIM}
    if name and name in caches:
        yield Violation(
            "spec.output.claimName",
            name,
            "is the claim of the cache, which other runs share",
            "use a claim that is this run's alone, or remove it",
        )


def sequence_holds_an_image(spec: Spec) -> Iterator[Violation]:
    """An image's tokens are never truncated."""
    length, least = spec.training.max_length, _IMAGE_TOKENS + _TEXT_TOKENS
    if length is not None and length < least and spec.size != "Tiny":
        yield Violation(
            "spec.training.maxLength",
            length,
            f"is too short: one image alone takes {_IMAGE_TOKENS} tokens",
            f"use at least {least}",
        )


CHECKS: Final[tuple[Check, ...]] = (
    suspension_is_not_the_queues,
    gpu_only_with_a_gpu_size,
    prefix_has_its_attention,
    product_is_large_enough,
    selection_is_unambiguous,
    tolerations_are_complete,
    secret_is_for_runs,
    dropping_is_asked_for,
    sources_are_usable,
    model_is_usable,
    waits_are_bounded,
    clean_up_comes_after_the_next_attempt,
    own_claim_is_not_sized,
    output_is_not_shared,
    sequence_holds_an_image,
    not_supported_yet,
)
"""Every check, in the order of the spec's fields; then what is not supported yet."""
