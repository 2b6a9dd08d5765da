"""Documented hours, scaled."""

from support.operator_documents import document, plan


def test_hours_grow_with_epochs_and_fewer_gpus() -> None:
    gpu = {"product": "NVIDIA-H200", "perNode": 4}
    made = plan(document(gpu=gpu, training={"epochs": 2}))
    assert (made.hours, made.gpu_hours, made.deadline_seconds) == (12.0, 48.0, 24 * 3600)


def test_a_run_without_gpus_costs_no_gpu_hours() -> None:
    made = plan(document(size="Tiny"))
    assert (made.gpu_hours, made.deadline_seconds) == (0.0, 3600)


def test_the_users_deadline_is_taken() -> None:
    assert plan(document(scheduling={"activeDeadlineSeconds": 77})).deadline_seconds == 77
