"""Whether this machine can run a plan: the trainer is installed, and there are enough GPUs."""

import importlib.util
import shutil
import subprocess

from qinstruct_operator.core.plan.types import Plan
from qinstruct_trainer.contract.errors import ConfigError

_TRAINER_MODULES = ("torch", "transformers", "deepspeed")
_NVIDIA_SMI_SECONDS = 20  # where a driver has locked up it never ends


def check_machine(plan: Plan) -> None:
    """Refuse what this machine cannot run.

    Raises:
        ConfigError: the trainer is not installed, or there are fewer GPUs than processes.
    """
    missing = [name for name in _TRAINER_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the trainer is not installed here ({', '.join(missing)} missing); "
            "install it with: pip install 'qinstruct[trainer]'"
        )
    if plan.run_config.size == "Tiny":
        return
    found = _count_gpus()
    if found < plan.num_processes:
        raise ConfigError(
            f"spec.size {plan.run_config.size} needs {plan.num_processes} NVIDIA GPUs and this "
            f"machine has {found}; render it and apply it to a cluster that has them, or try the "
            "line here with size: Tiny"
        )


def _count_gpus() -> int:
    """GPUs that the driver lists; 0 without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listing = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())
