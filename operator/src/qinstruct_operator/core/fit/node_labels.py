"""A pod's node selector and required node affinity against a node's labels. Pure.

`matches` is the scheduler's rule; the rest words the reason. Of OR-ed terms, one about labels that
the node has makes a better reason than "no term matches".
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from qinstruct_operator.catalog.gpus import GPU_CLASSES, PRODUCT_GIGABYTES
from qinstruct_operator.constants import GPU_PRODUCT_LABEL
from qinstruct_operator.core.children.metadata import Manifest
from qinstruct_operator.core.untyped_json import objects

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")
_INT64: Final = 2**63
_MEMORY_LABEL: Final = "nvidia.com/gpu.memory"
_COUNT_LABEL: Final = "nvidia.com/gpu.count"
_LABELS_OF_GPUS: Final = "nvidia.com/gpu.memory, cloud.google.com/gke-accelerator"
_MEBIBYTES: Final = 1024

Labels = Mapping[str, str]
Expression = Mapping[str, Any]


def label_reasons(pod: Manifest, name: str, labels: Labels) -> Iterable[str]:
    """Why the labels of a node (or its name) rule a pod out; none: they do not."""
    for key, value in pod["nodeSelector"].items():  # ours always name an architecture
        if labels.get(key) != value:
            yield _unequal(key, value, labels)
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    terms = objects(pod, "affinity", "nodeAffinity", required, "nodeSelectorTerms")
    if terms and not any(term_matches(term, name, labels) for term in terms):
        yield from _why_no_term_matches(terms, labels)


def term_matches(term: Mapping[str, Any], name: str, labels: Labels) -> bool:
    """Whether a node selector term holds: all of its expressions, of which there must be one."""
    expressions = term.get("matchExpressions") or ()
    fields = term.get("matchFields") or ()
    return bool(expressions or fields) and (
        all(matches(expression, labels) for expression in expressions)
        and all(matches(expression, {"metadata.name": name}) for expression in fields)
    )


def matches(expression: Expression, labels: Labels) -> bool:
    """Whether one expression holds; NotIn and DoesNotExist do where the key is absent.

    Raises:
        ValueError: an operator that Kubernetes does not know.
    """
    value = labels.get(expression["key"])
    values: Sequence[str] = expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _compared(value, values) > 0
        case "Lt":
            return _compared(value, values) < 0
    raise ValueError(f"{expression['operator']} is no operator of a node selector")


def _compared(value: str | None, values: Sequence[str]) -> int:
    """-1 or 1 as the label's integer is below or above the one given; 0: equal, or no integers."""
    left, right = _integer(value), _integer(values[0] if len(values) == 1 else None)
    if left is None or right is None:
        return 0
    return (left > right) - (left < right)


def _integer(text: str | None) -> int | None:
    """A 64-bit integer in decimal digits, as Go's ParseInt takes it."""
    if text is None or not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else None


def gpu_shortage(there: object, *, asked: int) -> str:
    """The sentence for too few GPUs, whether a label or a resource says so."""
    return f"has {there} GPU{'' if str(there) == '1' else 's'}, the run asks for {asked}"


def _why_no_term_matches(terms: Sequence[Mapping[str, Any]], labels: Labels) -> Iterable[str]:
    for term in terms:
        expressions = term.get("matchExpressions") or ()
        if expressions and expressions[0]["key"] in labels:
            failing = [each for each in expressions if not matches(each, labels)]
            return [_sentence(each, labels) for each in failing]
    return [
        f"no label says what GPUs it has ({_LABELS_OF_GPUS} or a known instance type): "
        "GPU feature discovery does not run there"
    ]


def _sentence(expression: Expression, labels: Labels) -> str:
    key, operator = expression["key"], expression["operator"]
    values: Sequence[str] = expression.get("values") or ()
    match key, operator:
        case "nvidia.com/gpu.memory", "Gt":
            return f"{_gpus(labels)}, the run needs {_class_gigabytes(values[0])} GB"
        case "nvidia.com/gpu.memory", "Lt":
            return f"{_gpus(labels)}, the run takes no larger ones (gpu.allowLarger: false)"
        case "nvidia.com/gpu.count", "Gt":
            there = labels.get(_COUNT_LABEL, "an unknown number of")
            return gpu_shortage(there, asked=int(values[0]) + 1)
        case "nvidia.com/gpu.sharing-strategy", "NotIn":
            return f"its GPUs are shared ({labels.get(key)})"
    return _unequal(key, " or ".join(values), labels)


def _unequal(key: str, wanted: str, labels: Labels) -> str:
    """`<what it is>, the run needs <what it must be>`, for labels of no special meaning."""
    there = f"label {key} is {labels[key]}" if key in labels else f"no label {key}"
    return f"{there}, the run needs {wanted}"


def _gpus(labels: Labels) -> str:
    """`40 GB GPUs (NVIDIA-A100-SXM4-40GB)`, as far as the labels say it."""
    product, mebibytes = labels.get(GPU_PRODUCT_LABEL, ""), _integer(labels.get(_MEMORY_LABEL))
    gigabytes = PRODUCT_GIGABYTES.get(product)
    if gigabytes is None and mebibytes is not None:
        gigabytes = round(mebibytes / _MEBIBYTES)
    size = f"{gigabytes} GB GPUs" if gigabytes is not None else "GPUs of unknown memory"
    return f"{size} ({product})" if product else size


def _class_gigabytes(above: str) -> int:
    """The nominal gigabytes of the class of GPUs that starts above so many mebibytes."""
    classes = {str(each.above_mebibytes): each.gigabytes for each in GPU_CLASSES}
    return classes[above]
