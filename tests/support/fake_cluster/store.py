"""The objects of the fake API server: versions, ownership of fields, immutability, garbage.

No clock and no randomness: uids and resource versions are counted.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from qinstruct_operator.cluster.errors import Conflict, NotFound, Refused, UnknownKind
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, JOB, NODE, POD, TRAINING, Kind
from support.fake_cluster.fields import (
    Fields,
    Path,
    at,
    flatten,
    merge,
    merge_patch,
    unflatten,
    without,
)
from support.kinds import PYTORCHJOB

Key = tuple[Kind, str | None, str]

_WITH_STATUS: Final = frozenset({TRAINING, JOB, PYTORCHJOB, POD, CLAIM, NODE})
_WITH_GENERATION: Final = frozenset({TRAINING, JOB, PYTORCHJOB, POD})
_IMMUTABLE: Final[Mapping[Kind, tuple[Path, ...]]] = {
    JOB: (("spec", "template"), ("spec", "selector"), ("spec", "podFailurePolicy")),
    CLAIM: (("spec",),),
}
_IMMUTABLE_MAP: Final[tuple[Path, ...]] = (("data",), ("binaryData",), ("immutable",))
# What the server says of an object; nobody else can.
_SERVER_FIELDS: Final[tuple[Path, ...]] = tuple(
    ("metadata", key)
    for key in ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields")
)
_STATUS: Final[tuple[Path, ...]] = (("status",),)
_IDENTITY: Final[tuple[Path, ...]] = (
    ("apiVersion",),
    ("kind",),
    ("metadata", "name"),
    ("metadata", "namespace"),
)
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass
class _Stored:
    resource: Resource
    owners: dict[str, set[Path]] = field(default_factory=dict)


@dataclass
class Store:
    """Every object, with the fields that each field manager owns.

    Attributes:
        kinds: the installed ones.
        now: creationTimestamp of what is created.
    """

    kinds: set[Kind]
    now: str
    _objects: dict[Key, _Stored] = field(default_factory=dict)
    _version: int = 0
    _made: int = 0

    def require(self, kind: Kind) -> None:
        """Raise UnknownKind unless the kind is installed."""
        if kind not in self.kinds:
            raise UnknownKind(f"{kind.kind} is not installed", status=404)

    def get(self, key: Key) -> Resource | None:
        """A copy of the object."""
        stored = self._objects.get(key)
        return copy.deepcopy(stored.resource) if stored else None

    def select(
        self, kind: Kind, namespace: str | None, wanted: Mapping[Path, str]
    ) -> tuple[Resource, ...]:
        """Copies of the objects that have the values, by namespace and name."""
        found = sorted(
            ((key[1] or "", key[2], key) for key in self._objects if key[0] == kind),
            key=lambda one: one[:2],
        )
        resources = [
            self._objects[key].resource for *_, key in found if namespace in (None, key[1])
        ]
        return tuple(
            copy.deepcopy(resource)
            for resource in resources
            if all(at(resource, path) == value for path, value in wanted.items())
        )

    def apply(self, manifest: Resource, manager: str) -> Resource:
        """Server-side apply with force."""
        key = key_of(manifest)
        applied = _settable(key[0], manifest)
        if key in self._objects:
            self._merge(key, applied, manager)
        else:
            self._add(key, applied, manager)
        return copy.deepcopy(self._objects[key].resource)

    def create(self, manifest: Resource, manager: str) -> Resource | None:
        """The new object; None where there is one already."""
        key = key_of(manifest)
        if key in self._objects:
            return None
        self._add(key, _settable(key[0], manifest), _updater(manager))
        return self.get(key)

    def put_status(self, resource: Resource, status: Mapping[str, Any], manager: str) -> Resource:
        """Replace the status of the object as it was read."""
        key = key_of(resource)
        stored = self._objects.get(key)
        if stored is None:
            raise NotFound(f"{_place(key)} not found", status=404)
        read, now = resource["metadata"], stored.resource["metadata"]
        if any(read.get(one) != now[one] for one in ("uid", "resourceVersion")):
            raise Conflict(f"{_place(key)} has been modified", status=409)
        return self.put(key, {**stored.resource, "status": dict(status)}, manager)

    def patch(self, patch: Resource, manager: str) -> Resource:
        """Merge patch (RFC 7396) of the object that it names."""
        key = key_of(patch)
        stored = self._objects.get(key)
        if stored is None:
            raise NotFound(f"{_place(key)} not found", status=404)
        now = stored.resource["metadata"]["resourceVersion"]
        if patch["metadata"].get("resourceVersion", now) != now:
            raise Conflict(f"{_place(key)} has been modified", status=409)
        return self.put(key, merge_patch(stored.resource, patch), manager)

    def put(self, key: Key, resource: Resource, manager: str) -> Resource:
        """Replace an object that is there."""
        stored = self._objects[key]
        before, after = flatten(stored.resource), flatten(resource)
        self._replace(key, resource)
        written = {path for path in after if before.get(path) != after[path]}
        gone = before.keys() - after.keys()
        for own in stored.owners.values():
            own -= written | gone
        stored.owners.setdefault(_updater(manager), set()).update(written)
        return copy.deepcopy(stored.resource)

    def delete(self, key: Key) -> None:
        """Delete an object, and then whatever has owners of which none is left."""
        del self._objects[key]
        live = {stored.resource["metadata"]["uid"] for stored in self._objects.values()}
        for orphan, stored in list(self._objects.items()):
            owners = {one["uid"] for one in stored.resource["metadata"].get("ownerReferences", ())}
            if owners and not owners & live and orphan in self._objects:
                self.delete(orphan)

    def _add(self, key: Key, fields: Fields, owner: str) -> None:
        self.require(key[0])
        if not _NAME.fullmatch(key[2]):
            raise Refused(f"{key[0].kind} {key[2]!r} is invalid: metadata.name", status=422)
        self._made += 1
        made = unflatten(fields)
        made["metadata"] |= {
            "uid": f"00000000-0000-4000-8000-{self._made:012d}",
            "creationTimestamp": self.now,
            **({"generation": 1} if key[0] in _WITH_GENERATION else {}),
        }
        self._objects[key] = _Stored(made, {owner: set(without(fields, _IDENTITY))})
        self._touch(key)

    def _merge(self, key: Key, applied: Fields, manager: str) -> None:
        stored = self._objects[key]
        current = flatten(stored.resource)
        mine = set(without(applied, _IDENTITY))
        others = [own for name, own in stored.owners.items() if name != manager]
        dropped = stored.owners.get(manager, set()) - mine - set().union(*others)
        self._replace(key, unflatten(merge(current, applied, dropped)))
        taken = {path for path in mine if current.get(path) != applied[path]}
        for own in others:
            own -= taken
        stored.owners[manager] = mine

    def _replace(self, key: Key, resource: Resource) -> None:
        stored = self._objects[key]
        before = stored.resource
        if resource == before:
            return
        _refuse_immutable(key, before, resource)
        stored.resource = copy.deepcopy(resource)
        if key[0] in _WITH_GENERATION and _desired(before) != _desired(resource):
            stored.resource["metadata"]["generation"] += 1
        self._touch(key)

    def _touch(self, key: Key) -> None:
        self._version += 1
        self._objects[key].resource["metadata"]["resourceVersion"] = str(self._version)


def key_of(manifest: Resource) -> Key:
    """Under what an object is kept."""
    meta = manifest["metadata"]
    kind = Kind.of(manifest)
    return kind, meta.get("namespace"), meta["name"]


def _settable(kind: Kind, manifest: Resource) -> Fields:
    ignored = _SERVER_FIELDS + (_STATUS if kind in _WITH_STATUS else ())
    return without(flatten(manifest), ignored)


def _refuse_immutable(key: Key, before: Resource, after: Resource) -> None:
    fixed = _IMMUTABLE.get(key[0], ())
    if key[0] == CONFIG_MAP and before.get("immutable"):
        fixed = _IMMUTABLE_MAP
    for path in fixed:
        if at(before, path) != at(after, path):
            raise Refused(f"{_place(key)}: {'.'.join(path)}: field is immutable", status=422)


def _place(key: Key) -> str:
    return f"{key[0].kind} {key[1]}/{key[2]}"


def _updater(manager: str) -> str:
    """A manager's fields that it did not apply are another set than those that it did."""
    return f"{manager} (Update)"


def _desired(resource: Resource) -> Resource:
    return {key: value for key, value in resource.items() if key not in ("metadata", "status")}
