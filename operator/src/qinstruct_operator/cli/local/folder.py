"""The folder of a local run: where its files are, and whether another run may use it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import PrepConfig, RunConfig
from qinstruct_trainer.contract.errors import ConfigError, StorageError
from qinstruct_trainer.contract.events import Complete, parse_line
from qinstruct_trainer.contract.urls import url_identity


@dataclass(frozen=True)
class RunFolder:
    """`root` is `<workdir>/<run>`, absolute; the same layout as the output claim of a cluster."""

    root: Path

    @property
    def prep_config(self) -> Path:
        """The `PrepConfig`."""
        return self.root / output_files.PREP_CONFIG

    @property
    def run_config(self) -> Path:
        """The `RunConfig`."""
        return self.root / output_files.RUN_CONFIG

    @property
    def model(self) -> Path:
        """The exported model."""
        return self.root / output_files.MODEL

    @property
    def evaluation(self) -> Path:
        """Accuracy on the held-out questions."""
        return self.root / output_files.EVALUATION

    @property
    def loss_curve(self) -> Path:
        """The picture of the loss."""
        return self.root / output_files.LOSS_CURVE

    @property
    def logs(self) -> Path:
        """Everything that the processes of the run printed."""
        return self.root / output_files.LOGS

    def log(self, name: str) -> Path:
        """Everything that prep or training printed."""
        return self.logs / f"{name}.log"

    def termination_log(self, name: str) -> Path:
        """The final event of prep or training, as a container leaves it for the kubelet."""
        return self.logs / f"{name}.last.json"

    def is_complete(self) -> bool:
        """Whether training has reported its end, and the model is still there."""
        try:
            said = self.termination_log("train").read_text("utf-8", errors="replace")
        except OSError:
            return False
        last = parse_line(said, None)
        return isinstance(last, Complete) and (self.model / "config.json").is_file()

    def check_same_run(self, prep: PrepConfig, run: RunConfig) -> None:
        """Refuse a folder where a training with other fixed values has begun.

        Raises:
            ConfigError: names the first field that differs.
            StorageError: its configs cannot be read.
        """
        if (self.root / output_files.CHECKPOINTS).is_dir() or self.model.is_dir():
            # run.json first: it holds what the user wrote (strategy), prep.json what follows.
            self._compare(RunConfig.read(self.run_config), run)
            self._compare(PrepConfig.read(self.prep_config), prep)

    def write_configs(self, prep: PrepConfig, run: RunConfig) -> None:
        """Make the folder and write both configs into it.

        Raises:
            StorageError: the folder cannot be made or written.
        """
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            self.prep_config.touch(mode=0o600)  # its addresses may hold tokens
            self.prep_config.chmod(0o600)
            self.prep_config.write_text(prep.to_json(), "utf-8")
            self.run_config.write_text(run.to_json(), "utf-8")
        except OSError as error:
            raise StorageError(
                f"{error.filename or self.root} cannot be written: {error.strerror}; "
                "free or fix it, or choose another folder with --workdir"
            ) from error

    def _compare(self, begun: PrepConfig | RunConfig, wanted: PrepConfig | RunConfig) -> None:
        difference = _first_difference(begun.fixed_values(), wanted.fixed_values(), "")
        if difference is not None:
            field, before, now = difference
            raise ConfigError(
                f"{self.root} holds a training that began with {field} {before!r}, and the file "
                f"now says {now!r}; change it back, give the run another metadata.name, or "
                f"delete the folder"
            )


def _first_difference(before: Any, now: Any, path: str) -> tuple[str, Any, Any] | None:
    """The dotted name of the first field that differs, with both values."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before:
            name = f"{path}.{key}" if path else key
            found = _first_difference(before[key], now.get(key), name)
            if found is not None:
                return found
        return None
    if isinstance(before, tuple) and isinstance(now, tuple) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        found_items = (_first_difference(a, b, f"{path}[{i}]") for i, (a, b) in pairs)
        return next((found for found in found_items if found is not None), None)
    return None if before == now else (path, _shown(before), _shown(now))


def _shown(value: Any) -> Any:
    """A value for a message: of an address whether its secrets differ, but not what they are."""
    return url_identity(value) if isinstance(value, str) else value
