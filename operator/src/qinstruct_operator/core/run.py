"""A run as one pass reads it: its identity, its stored status and its plan. Pure."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Self

from pydantic import ValidationError

from qinstruct_operator.api.changes import Change, changes
from qinstruct_operator.api.parse import parse
from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.api.spec import Spec
from qinstruct_operator.api.status import Status
from qinstruct_operator.constants import CONDITION_PREPARED
from qinstruct_operator.core.attempts import Spent
from qinstruct_operator.core.backends import BACKENDS, Backend
from qinstruct_operator.core.children import ChildId
from qinstruct_operator.core.condition_list import is_finished, is_true
from qinstruct_operator.core.names import config_name
from qinstruct_operator.core.pin import Pin
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.core.untyped_json import Raw, at, text
from qinstruct_operator.errors import InvalidSpec, Violation
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP
from qinstruct_operator.settings import Settings

_DEFAULT_BACKEND: str = Spec.model_fields["backend"].default


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        resource_version: of the object that was read.
        status: as it was read; empty before the first pass.
        document: its object without status.
        spec: None where the document cannot be read.
        plan: None where the spec has violations.
        violations: what is wrong with the spec.
    """

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str
    status: Status = field(default_factory=Status)
    document: Raw = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    spec: Spec | None = None
    plan: Plan | None = None
    violations: tuple[Violation, ...] = ()

    @classmethod
    def read(cls, resource: Raw, settings: Settings) -> Self:
        """The run of a QInstructTraining object, with its plan."""
        status, _ = read_status(resource)
        spec: Spec | None = None
        plan: Plan | None = None
        violations: tuple[Violation, ...] = ()
        # Without its status: an unreadable status is no fault of the user's spec.
        document = {key: value for key, value in resource.items() if key != "status"}
        try:
            training = parse(document)
            spec = training.spec
            plan = make_plan(training, settings)
        except InvalidSpec as error:
            violations = error.violations
        meta = resource["metadata"]
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            resource_version=meta.get("resourceVersion", ""),
            status=status,
            document=document,
            settings=settings,
            spec=spec,
            plan=plan,
            violations=violations,
        )

    @property
    def created(self) -> datetime | None:
        """When its object was created."""
        return parse_time(text(self.document, "metadata", "creationTimestamp"))

    @property
    def suspend(self) -> bool | None:
        """Whether its user wants it to stop for now; None where nobody can read that.

        Faults elsewhere in the spec are no reason to go on.
        """
        said = at(self.document, "spec", "suspend")
        if isinstance(said, bool):
            return said
        return self.spec.suspend if self.spec else None

    @property
    def is_finished(self) -> bool:
        """Whether its status says that it has ended."""
        return is_finished(self.status)

    @property
    def was_prepared(self) -> bool:
        """Whether its status says that its data are prepared."""
        return is_true(self.status, CONDITION_PREPARED)

    @property
    def attempt(self) -> int:
        """By its status the attempt that is due, under way or has failed last; the first is 1.

        Every attempt before it has used up something. Which one there is, the label of what
        exists says; where nothing does, the status may say a later one itself.
        """
        known = self.status.recovery
        if known and known.next_attempt_time and known.failures:
            return known.failures[-1].attempt
        return Spent.of_status(self.status).total + 1

    @property
    def backend(self) -> Backend:
        """The kind of its training workload; the default where the spec is refused."""
        return BACKENDS[self.plan.backend if self.plan else _DEFAULT_BACKEND]

    @property
    def is_pinned(self) -> bool:
        """Whether its training workload has existed: another one is made from the same."""
        return self.status.attempt is not None or self.status.recovery is not None

    def plan_from(self, pin: Pin) -> Plan | None:
        """Its plan as it was when it was pinned; None where this version cannot make it.

        Only those of its children that are absent may be created: the configs are those in the
        ConfigMap, whatever this version's defaults are.
        """
        image = self.status.image or self.settings.trainer_image
        plan = self._plan(pin.spec, replace(self._where(pin), trainer_image=image))
        if plan is None:
            return None
        return replace(
            plan,
            gpu=plan.gpu and replace(plan.gpu, per_node=pin.world_size),
            num_processes=pin.world_size,
            run_config=plan.run_config.model_copy(update={"world_size": pin.world_size}),
        )

    def goes_on_from(self, pin: Pin | None) -> bool:
        """Whether its next training workload is made from what is pinned, not from its spec."""
        return self.is_pinned and pin is not None and self.plan_from(pin) is not None

    def plan_with_data_of(self, pin: Pin) -> Plan | None:
        """The plan of its present spec, for data that were prepared by another one."""
        return self._plan(self.document["spec"], self._where(pin))

    def _where(self, pin: Pin) -> Settings:
        return replace(self.settings, cache_path=pin.cache_path, output_path=pin.output_path)

    def _plan(self, spec: Raw, settings: Settings) -> Plan | None:
        try:
            return make_plan(parse({**self.document, "spec": spec}), settings)
        except InvalidSpec:
            return None

    def changes_since(self, pin: Pin | None) -> tuple[Change, ...]:
        """How its spec differs from the pinned one, as far as both can be read."""
        if pin is None or self.spec is None:
            return ()
        try:
            return changes(Spec.model_validate(pin.spec), self.spec)
        except ValidationError:
            return ()

    def fixed_changes_since(self, pin: Pin | None) -> tuple[Change, ...]:
        """Those that no run may make: the server refuses them, unless its CRD is an older one."""
        return tuple(each for each in self.changes_since(pin) if each.is_of_fixed_field)

    @property
    def support_ids(self) -> tuple[ChildId, ...]:
        """What must exist before its workloads: children, and claims that the user brings."""
        return ((CONFIG_MAP, config_name(self.name)), *(claim_ids(self.plan) if self.plan else ()))


def claim_ids(plan: Plan) -> tuple[ChildId, ...]:
    """The claims that the workloads of a plan mount."""
    claims = (plan.cache_claim, plan.output_claim)
    return tuple(dict.fromkeys((CLAIM, claim.name) for claim in claims))


def shared_claim_ids(plan: Plan) -> tuple[ChildId, ...]:
    """Those of them that the run does not make for itself alone."""
    own = plan.output_claim if plan.output_claim.size else None
    return tuple(id_ for id_ in claim_ids(plan) if own is None or id_[1] != own.name)
