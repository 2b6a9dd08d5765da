"""Ages, sizes and names of objects as they are written after an option. Pure."""

import re
from typing import Final

from pydantic import TypeAdapter, ValidationError

from qinstruct_operator.api.field_types import DnsName, NamespaceName
from qinstruct_operator.core.quantity import parse_quantity
from qinstruct_trainer.contract.errors import ConfigError

_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_NAMESPACE: Final[TypeAdapter[str]] = TypeAdapter(NamespaceName)
_OBJECT: Final[TypeAdapter[str]] = TypeAdapter(DnsName)
_AGE: Final = re.compile(r"(?P<number>\d{1,6})(?P<unit>[mhdw])")


def age_seconds(option: str, text: str) -> float:
    """Seconds of an age: `30d`, `12h`, `2w`, `90m`.

    Raises:
        ConfigError: it is none.
    """
    found = _AGE.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"{option} {text:.40} is no age; write a whole number with m, h, d or w, e.g. 30d"
        )
    return float(found["number"]) * _SECONDS[found["unit"]]


def size_bytes(option: str, text: str) -> int:
    """Bytes of a size: `500Gi`, `1.5T`, `0`.

    Raises:
        ConfigError: it is none.
    """
    found = parse_quantity(text)
    if found is None or found < 0:
        raise ConfigError(f"{option} {text:.40} is no size; write it as 500Gi or 500G")
    return int(found)


def namespace_name(option: str, text: str) -> str:
    """The name of a namespace.

    Raises:
        ConfigError: it is none.
    """
    rule = "up to 63 small letters, digits and - within"
    return _name(_NAMESPACE, option, text, f"no name of a namespace: {rule}")


def object_name(option: str, text: str) -> str:
    """The name of an object of the cluster, a claim's for one.

    Raises:
        ConfigError: it is none.
    """
    rule = "up to 253 small letters, digits, and - and . within"
    return _name(_OBJECT, option, text, f"no name of an object of a cluster: {rule}")


def _name(kind: TypeAdapter[str], option: str, text: str, what: str) -> str:
    try:
        return kind.validate_python(text)
    except ValidationError as error:
        raise ConfigError(f"{option} {text:.80} is {what}; `kubectl get` lists names") from error
