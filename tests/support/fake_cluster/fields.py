"""Objects as flat fields with their managers, as server-side apply compares them. Pure.

A field is a path of keys. A list is one field, but for owner references, which are a field each by
uid; an empty map is a field too.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Path = tuple[str, ...]
Fields = dict[Path, Any]

_KEYED_LISTS: Mapping[Path, str] = {("metadata", "ownerReferences"): "uid"}


def flatten(value: Any, path: Path = ()) -> Fields:
    """Every field of an object."""
    return dict(_walk(value, path))


def unflatten(fields: Fields) -> dict[str, Any]:
    """The object that has exactly these fields."""
    made: dict[str, Any] = {}
    for path, value in fields.items():
        place = made
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = copy.deepcopy(value)
    for path in _KEYED_LISTS:
        *parents, last = path
        place = made
        for key in parents:
            place = place.get(key, {})
        if last in place:
            place[last] = list(place[last].values())
    return made


def merge(current: Fields, applied: Fields, dropped: set[Path]) -> Fields:
    """The fields without the dropped ones and with the applied ones.

    A map that is applied empty takes nothing from one that is there; any other value replaces
    what is above or below it.
    """
    kept = {path: value for path, value in current.items() if path not in dropped}
    for path, value in applied.items():
        below = [one for one in kept if one[: len(path)] == path and one != path]
        if value == {} and below:
            continue
        above = [path[:end] for end in range(1, len(path))]
        for replaced in (*below, *above):
            kept.pop(replaced, None)
        kept[path] = value
    return kept


def merge_patch(current: Any, patch: Any) -> Any:
    """What a JSON merge patch (RFC 7396) makes of a value."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    made = dict(current) if isinstance(current, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            made.pop(key, None)
        else:
            made[key] = merge_patch(made.get(key), value)
    return made


def without(fields: Fields, paths: Iterable[Path]) -> Fields:
    """The fields that are not at or below the paths."""
    left_out = tuple(paths)
    return {
        path: value
        for path, value in fields.items()
        if not any(path[: len(one)] == one for one in left_out)
    }


def at(value: Any, path: Path) -> Any:
    """What an object has there; None where it has nothing."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _walk(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _walk(item, (*path, key))
    elif isinstance(value, list) and value and path in _KEYED_LISTS:
        for item in value:
            yield (*path, str(item[_KEYED_LISTS[path]])), item
    elif value is not None:
        yield path, value
