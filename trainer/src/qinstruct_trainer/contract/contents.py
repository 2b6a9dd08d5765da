"""What an installation of the trainer contains: `qinstruct --version --json`."""

from pydantic import BaseModel, ConfigDict, Field

from qinstruct_trainer.contract.config import Attention


class Contents(BaseModel):
    """Versions and attention kernels of an image, or of the Python that local mode runs in.

    It says what is installed. Whether there is a GPU to run it on, the machine decides.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    python: str
    packages: dict[str, str] = Field(description="Version by name; what is absent has no entry.")
    cuda: str | None = Field(description="CUDA version that torch was built with; None: for CPUs.")
    attention: tuple[Attention, ...] = Field(description="Kernels that can run, given a GPU.")
    missing_attention: dict[Attention, str] = Field(
        description="The other kernels, each with the reason."
    )
