"""Which fields of a run may change, and until when. Pure.

A field may change as long as the change has an effect. What the prep Job and the output claim are
made from is fixed with the run, unless its spec was refused; everything else shapes the training
workload alone, so it can change until that exists (`status.attempt`), or the run has ended.
`suspend` alone shapes nothing, and can change at any time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from qinstruct_operator.api.spec import Spec

FIXED: Final = ("size", "strategy", "data", "model", "training", "output", "prep")
"""Fields of the spec that are fixed as a whole when the run is created."""

FIXED_PARTS: Final = ("checkpoint.keep",)
"""The same, of groups that can otherwise change."""

ANYTIME: Final = ("suspend",)
"""Fields that can change at any time: nothing is made from them."""

CHANGEABLE: Final = tuple(
    str(field.alias)
    for field in Spec.model_fields.values()
    if field.alias not in (*FIXED, *ANYTIME)
)
"""Fields that can change until the training workload exists."""

FIXED_WORDS: Final = "cannot change after creation; delete the run and create it again"
"""Why a change of a fixed field is refused, and the way out."""

LATE_WORDS: Final = (
    "cannot change once the training workload exists or the run has ended; delete the run and "
    "create it again: prepared data are kept, and checkpoints unless output.retain is false"
)
"""The same for a change that comes too late."""

FIXED_NOTE: Final = "Fixed at creation, unless the spec was refused."
LATE_NOTE: Final = "Can change until the training workload exists or the run has ended."
ANYTIME_NOTE: Final = "Can change at any time."
"""The same, as the descriptions of the fields say it."""


@dataclass(frozen=True)
class Change:
    """One difference between two specs.

    Attributes:
        field: its path, e.g. `spec.gpu.perNode`.
        before, after: values as in a document; None: it had or has none.
    """

    field: str
    before: object
    after: object

    @property
    def is_of_fixed_field(self) -> bool:
        """Whether no run may make it after its creation."""
        path = self.field.removeprefix("spec.")
        return path.split(".")[0] in FIXED or path in FIXED_PARTS


def changes(before: Spec, after: Spec) -> tuple[Change, ...]:
    """The differences, each at the innermost field that differs; lists are compared as a whole.

    Fields that can change at any time are none.
    """
    documents = (spec.model_dump(mode="json", exclude={*ANYTIME}) for spec in (before, after))
    return tuple(_differences("spec", *documents))


def _differences(path: str, before: Any, after: Any) -> Iterator[Change]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in (*before, *(key for key in after if key not in before)):
            yield from _differences(f"{path}.{key}", before.get(key), after.get(key))
    elif before != after:
        yield Change(path, before, after)
