"""Whether this machine can run a plan: the trainer, enough GPUs, the attention kernel."""

import importlib.util
import shlex
import shutil
import subprocess
import sys

from pydantic import ValidationError

from qinstruct_operator.core.plan.types import Plan
from qinstruct_trainer.contract.config import Attention
from qinstruct_trainer.contract.contents import Contents
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.contract.launch import contents_command

_TRAINER_MODULES = ("torch", "transformers", "deepspeed")
_CONTENTS_SECONDS = 120  # with flash-attn it imports torch, from a slow disk perhaps
_NVIDIA_SMI_SECONDS = 20  # where a driver has locked up it never ends


def check_machine(plan: Plan) -> None:
    """Refuse what this machine cannot run.

    Raises:
        ConfigError: the run is suspended, the trainer is not installed, there are fewer GPUs than
            processes, or the attention kernel cannot run. Nothing was prepared for it.
    """
    if plan.spec.suspend:
        raise ConfigError(
            "spec.suspend is true, and only a cluster's operator can let a run go on; remove it (a "
            "run on this machine is stopped with Ctrl-C, and goes on with the same command)"
        )
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
    _check_attention(plan.run_config.attention)


def _check_attention(wanted: Attention) -> None:
    contents = _contents()
    fault = contents.missing_attention.get(wanted)
    if fault is not None:
        raise ConfigError(
            f"spec.training.attention {wanted} cannot run here: {fault}; use "
            f"{' or '.join(contents.attention)}, or install what is missing"
        )


def _contents() -> Contents:
    """What the trainer of this interpreter says of itself, in a process of its own."""
    command = contents_command(sys.executable)
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_CONTENTS_SECONDS, check=True
        )
        return Contents.model_validate_json(done.stdout)
    except (OSError, subprocess.SubprocessError, ValidationError) as error:
        raise ConfigError(
            f"the trainer that is installed here does not start ({shlex.join(command)}: "
            f"{str(error).splitlines()[0]}); install it with: pip install 'qinstruct[trainer]'"
        ) from error


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
