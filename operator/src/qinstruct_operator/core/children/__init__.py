"""Build the objects that a run consists of in a cluster: a module for each kind. Pure.

A builder reads the finished plan and decides nothing; for a claim that the user brings it returns
None. `metadata`, `pod`, `resources` and `scheduling` are what the builders share. May import
`catalog`, `kinds`, `constants`, the trainer's contract, and of the core `plan`, `backends` and
`names`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qinstruct_operator.constants import LABEL_COMPONENT, LABEL_RUN
from qinstruct_operator.core.attempts import NOTHING, Spent
from qinstruct_operator.core.children.claims import build_cache_claim, build_output_claim
from qinstruct_operator.core.children.config_map import build_config_map
from qinstruct_operator.core.children.metadata import Manifest
from qinstruct_operator.core.children.prep_job import build_prep_job
from qinstruct_operator.core.children.training import build_training
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.kinds import Kind

__all__ = ["Child", "ChildId", "Children", "Manifest", "build_children"]

ChildId = tuple[Kind, str]
"""Kind and name, by which a child is found in the run's namespace."""


@dataclass(frozen=True)
class Child:
    """One object that a run consists of.

    Attributes:
        purpose: what it is for, as `qinstruct plan` prints it.
    """

    manifest: Manifest
    purpose: str

    @property
    def id(self) -> ChildId:
        """Kind and name."""
        return Kind.of(self.manifest), self.manifest["metadata"]["name"]

    @property
    def component(self) -> str:
        """What it is for: `config`, `storage`, `prep` or `train`."""
        return str(self.manifest["metadata"]["labels"][LABEL_COMPONENT])

    @property
    def is_shared(self) -> bool:
        """Whether it serves other runs too, as the cache claim does."""
        return LABEL_RUN not in self.manifest["metadata"]["labels"]


@dataclass(frozen=True)
class Children:
    """Every child of a run, training as one attempt of it. None: the user brings it."""

    config: Child
    cache_claim: Child | None
    output_claim: Child | None
    prep: Child
    training: Child

    @property
    def support(self) -> tuple[Child, ...]:
        """What both workloads need to be there first, in the order of creation."""
        all_ = (self.config, self.cache_claim, self.output_claim)
        return tuple(child for child in all_ if child is not None)

    def __iter__(self) -> Iterator[Child]:
        """All of them, in the order in which they are created."""
        yield from (*self.support, self.prep, self.training)


def build_children(
    plan: Plan, attempt: int = 1, spent: Spent = NOTHING, avoided: Sequence[str] = ()
) -> Children:
    """Every child of a planned run.

    Args:
        plan: of the run.
        attempt: number of the attempt to train.
        spent: what the attempts before it have used up.
        avoided: names of nodes that it must not go to.
    """
    return Children(
        config=Child(
            build_config_map(plan),
            "prep.json and run.json: everything above, resolved",
        ),
        cache_claim=_optional_child(
            build_cache_claim(plan), "data and models, shared by the runs of the namespace"
        ),
        output_claim=_optional_child(build_output_claim(plan), "checkpoints, model, logs"),
        prep=Child(
            build_prep_job(plan), "fetch, verify, convert and index, before any GPU is asked for"
        ),
        training=Child(
            build_training(plan, attempt, spent, avoided),
            f"train, checkpoint, export and evaluate: attempt {attempt}",
        ),
    )


def _optional_child(manifest: Manifest | None, purpose: str) -> Child | None:
    return Child(manifest, purpose) if manifest else None
