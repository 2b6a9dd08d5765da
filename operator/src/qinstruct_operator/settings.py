"""What the operator's installation decides, as against what a user's document decides."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

from qinstruct_operator.constants import VERSION


@dataclass(frozen=True)
class Settings:
    """Images, paths and storage of an installation. Local mode passes its own folders.

    Attributes:
        prep_image: image of the prep Job.
        trainer_image: image of the PyTorchJob.
        cache_path: where processes see the shared unit cache.
        output_path: where processes see the run's own folder.
        config_path: where pods see the ConfigMap.
        namespace: namespace of documents that name none.
        cache_size: request of the namespace's shared cache claim (`core.disk` has the sum).
        cache_storage_class: storage class of that claim; None: the cluster's default.
    """

    prep_image: str = f"ghcr.io/qinstruct/prep:{VERSION}"
    trainer_image: str = f"ghcr.io/qinstruct/trainer:{VERSION}"
    cache_path: Path = Path("/cache")
    output_path: Path = Path("/output")
    config_path: Path = Path("/etc/qinstruct")
    namespace: str = "default"
    cache_size: str = "400Gi"
    cache_storage_class: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Settings from `QINSTRUCT_<FIELD>` keys of a mapping, e.g. `QINSTRUCT_CACHE_SIZE`."""
        given = {f.name: env.get(f"QINSTRUCT_{f.name.upper()}") for f in fields(cls)}
        return cls(
            **{  # type: ignore[arg-type]
                name: Path(value) if name.endswith("_path") else value
                for name, value in given.items()
                if value
            }
        )
