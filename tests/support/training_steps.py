"""Step events of a run of ten steps."""

from qinstruct_trainer.contract.events import Step


def step_event(number: int, *, loss: float = 1.0) -> Step:
    return Step(
        step=number,
        steps=10,
        loss=loss,
        learning_rate=1e-3,
        gradient_norm=1.0,
        tokens=10,
        seconds=0.1,
        samples_per_second=1.0,
        tokens_per_second=1.0,
        eta_seconds=1.0,
        memory_bytes=1,
    )
