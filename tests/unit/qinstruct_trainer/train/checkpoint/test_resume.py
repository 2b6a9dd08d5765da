import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from qinstruct_trainer.contract.errors import ConfigError, DataError, OutputBusyError
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.checkpoint.resume import resume
from qinstruct_trainer.train.metrics.metrics_file import append_metrics
from support.checkpoints import IDENTITY, RANKS, TextEngine, write_checkpoints
from support.training_steps import step_event


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert _resumed(tmp_path) == (None, "")


def test_the_newest_checkpoint_is_loaded(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 0, 5, 10)
    assert _resumed(tmp_path) == (10, "10")


def test_random_numbers_go_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 1)
    expected = torch.rand(4)
    torch.manual_seed(0)
    _resumed(tmp_path)
    assert torch.equal(torch.rand(4), expected)


def test_the_newest_damaged_one_is_set_aside_the_others_and_the_incomplete_are_deleted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoints(tmp_path, 5, 10, 15)
    checkpoints = tmp_path / "checkpoints"
    _damage(checkpoints / "step-00000010")
    _damage(checkpoints / "step-00000015")
    (checkpoints / ".partial-step-00000017").mkdir()
    (checkpoints / "quarantine" / "step-00000003").mkdir(parents=True)

    assert _resumed(tmp_path) == (5, "5")
    moved = checkpoints / "quarantine" / "step-00000015"
    assert capsys.readouterr().err.splitlines() == [
        f"the checkpoint {checkpoints / 'step-00000015'} is damaged and was moved to {moved}; "
        "the run goes on from step-00000005",
        f"the checkpoint {checkpoints / 'step-00000010'} is damaged and was deleted; "
        "the run goes on from step-00000005",
    ]
    assert _names(checkpoints) == ["quarantine", "step-00000005"]
    assert _names(checkpoints / "quarantine") == ["step-00000015"]


def test_a_checkpoint_that_is_a_link_is_set_aside_and_what_it_leads_to_stays(
    tmp_path: Path,
) -> None:
    write_checkpoints(tmp_path, 5, 10, 15)
    checkpoints = tmp_path / "checkpoints"
    for step in (10, 15):
        folder = checkpoints / f"step-000000{step}"
        folder.rename(tmp_path / str(step))
        folder.symlink_to(tmp_path / str(step))
    assert _resumed(tmp_path) == (5, "5")
    assert _names(checkpoints) == ["quarantine", "step-00000005"]
    assert (tmp_path / "10" / "manifest.json").exists()
    write_checkpoints(tmp_path, 20)
    _damage(checkpoints / "step-00000020")
    assert _resumed(tmp_path) == (5, "5")  # the link in quarantine makes room
    assert (tmp_path / "15" / "manifest.json").exists()


def test_an_incomplete_one_is_deleted_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoints(tmp_path, 5)
    (tmp_path / "checkpoints" / ".partial-step-00000007" / "state").mkdir(parents=True)
    assert _resumed(tmp_path) == (5, "5")
    assert _names(tmp_path / "checkpoints") == ["step-00000005"]
    assert capsys.readouterr().err == ""


def test_one_that_a_killed_save_left_over_is_deleted_before_the_next_save(tmp_path: Path) -> None:
    """Killed between publishing and pruning; or `checkpoint.keep` was lowered."""
    write_checkpoints(tmp_path, 5, 10, 15)
    assert _resumed(tmp_path, keep=2) == (15, "15")
    assert _names(tmp_path / "checkpoints") == ["step-00000010", "step-00000015"]


def test_a_run_that_was_killed_before_its_first_save_begins_with_what_it_saved(
    tmp_path: Path,
) -> None:
    write_checkpoints(tmp_path, 0)
    append_metrics(tmp_path / "metrics.jsonl", step_event(3))
    (tmp_path / "checkpoints" / ".partial-step-00000003").mkdir()
    assert _resumed(tmp_path) == (0, "0")


def test_a_damaged_untrained_checkpoint_of_a_run_that_has_not_trained_is_made_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoints(tmp_path, 0)
    folder = tmp_path / "checkpoints" / "step-00000000"
    _damage(folder)
    assert _resumed(tmp_path) == (None, "")
    said = f"the checkpoint {folder} is damaged and was deleted; the run begins at step 0\n"
    assert capsys.readouterr().err == said
    assert _names(tmp_path / "checkpoints") == []


def _only_one_with_a_wrong_bit(output: Path) -> None:
    write_checkpoints(output, 0, 5, keep=1)
    file = output / "checkpoints" / "step-00000005" / "rng-00000.pt"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)


def _all_damaged(output: Path) -> None:
    write_checkpoints(output, 5, 10)
    for step in (5, 10):
        _damage(output / "checkpoints" / f"step-{step:08d}")


def _manifest_gone(output: Path) -> None:
    write_checkpoints(output, 5)
    (output / "checkpoints" / "step-00000005" / "manifest.json").unlink()


def _only_the_untrained_one_is_intact(output: Path) -> None:
    write_checkpoints(output, 5)
    write_checkpoints(output / "new", 0)
    (output / "new" / "checkpoints" / "step-00000000").rename(
        output / "checkpoints" / "step-00000000"
    )
    shutil.rmtree(output / "new")
    _damage(output / "checkpoints" / "step-00000005")


def _only_the_untrained_one_is_intact_and_the_other_set_aside(output: Path) -> None:
    write_checkpoints(output, 0)
    folder = output / "checkpoints" / "quarantine" / "step-00000005"
    folder.mkdir(parents=True)
    (folder / "manifest.json").touch()


def _damaged_beside_an_older_quarantine(output: Path) -> None:
    _only_the_untrained_one_is_intact_and_the_other_set_aside(output)
    write_checkpoints(output, 7)
    _damage(output / "checkpoints" / "step-00000007")


def _all_checkpoints_deleted_but_not_the_metrics(output: Path) -> None:
    append_metrics(output / "metrics.jsonl", step_event(1))


def _published_ones_deleted(output: Path) -> None:
    (output / "checkpoints" / ".partial-step-00000009").mkdir(parents=True)


def _only_a_quarantined_one_left(output: Path) -> None:
    _only_the_untrained_one_is_intact_and_the_other_set_aside(output)
    shutil.rmtree(output / "checkpoints" / "step-00000000")


def _renamed_by_hand(output: Path) -> None:
    write_checkpoints(output, 5)
    append_metrics(output / "metrics.jsonl", step_event(5))
    folder = output / "checkpoints" / "step-00000005"
    folder.rename(folder.with_name("step-00000005.bad"))


def _model_and_checkpoints_deleted(output: Path) -> None:
    (output / "identity.json").touch()
    (output / "evaluation.json").touch()


BEGINNINGS: list[Callable[[Path], None]] = [
    _only_one_with_a_wrong_bit,
    _all_damaged,
    _manifest_gone,
    _only_the_untrained_one_is_intact,
    _only_the_untrained_one_is_intact_and_the_other_set_aside,
    _damaged_beside_an_older_quarantine,
    _all_checkpoints_deleted_but_not_the_metrics,
    _published_ones_deleted,
    _only_a_quarantined_one_left,
    _renamed_by_hand,
    _model_and_checkpoints_deleted,
]


@pytest.mark.parametrize("spoil", BEGINNINGS, ids=lambda spoil: spoil.__name__.strip("_"))
def test_a_run_that_has_trained_never_begins_again_by_itself(
    spoil: Callable[[Path], None], tmp_path: Path
) -> None:
    spoil(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for _ in range(2):  # nor does the attempt after the one that refused
        with pytest.raises(DataError, match="does not begin again by itself: put ") as refused:
            _resumed(tmp_path)
        assert sorted(tmp_path.rglob("*")) == before

    # The way out, as the sentence says it.
    deleted = str(refused.value).partition("or delete ")[2].partition(" to begin at step 0")[0]
    for name in deleted.split(" and "):
        path = Path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert _resumed(tmp_path)[0] in (None, 0)


def test_the_sentence_names_what_is_damaged(tmp_path: Path) -> None:
    _all_damaged(tmp_path)
    with pytest.raises(DataError) as refused:
        _resumed(tmp_path)
    checkpoints = tmp_path / "checkpoints"
    assert str(refused.value) == (
        f"{checkpoints} has no intact checkpoint (step-00000010, step-00000005: damaged), but "
        f"this run has trained: {checkpoints} says so; it does not begin again by itself: put an "
        f"intact checkpoint back, or delete {checkpoints} to begin at step 0, or give the run "
        "another name"
    )


def test_the_sentence_names_nothing_where_nothing_is_damaged(tmp_path: Path) -> None:
    _all_checkpoints_deleted_but_not_the_metrics(tmp_path)
    with pytest.raises(DataError) as refused:
        _resumed(tmp_path)
    metrics = tmp_path / "metrics.jsonl"
    assert str(refused.value).startswith(
        f"{tmp_path / 'checkpoints'} has no intact checkpoint, but this run has trained: {metrics} "
        "says so; "
    )


def test_a_checkpoint_that_is_put_back_is_taken(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 5)
    folder = tmp_path / "checkpoints" / "step-00000005"
    shutil.copytree(folder, tmp_path / "backup")
    _damage(folder)
    with pytest.raises(DataError):
        _resumed(tmp_path)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)
    assert _resumed(tmp_path) == (5, "5")


@pytest.mark.parametrize("newest", ["intact", "damaged"])
def test_a_checkpoint_of_another_run_is_refused_and_nothing_is_touched(
    newest: str, tmp_path: Path
) -> None:
    write_checkpoints(tmp_path, 5, 10)
    checkpoints = tmp_path / "checkpoints"
    (checkpoints / ".partial-step-00000012").mkdir()
    if newest == "damaged":
        _damage(checkpoints / "step-00000010")
    before = sorted(tmp_path.rglob("*"))
    other = IDENTITY.model_copy(update={"learning_rate": 0.1})
    with pytest.raises(ConfigError, match=r"step-\d+ was written with learning_rate 0\.5"):
        _resumed(tmp_path, identity=other, keep=1)
    assert sorted(tmp_path.rglob("*")) == before
    assert _resumed(tmp_path)[0] == (10 if newest == "intact" else 5)


def test_a_run_that_has_lost_its_lease_deletes_nothing(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 5, 10)
    (tmp_path / "checkpoints" / ".partial-step-00000012").mkdir()  # the other one is at it
    before = sorted((tmp_path / "checkpoints").rglob("*"))
    lease = Lease.acquire(tmp_path / "lease", "one")
    (tmp_path / "lease.2").touch()  # as a process does that takes the lease over
    with pytest.raises(OutputBusyError, match="stop"):
        resume(TextEngine(), tmp_path, IDENTITY, 1, RANKS, lease)
    lease.release()
    assert sorted((tmp_path / "checkpoints").rglob("*")) == before


def _resumed(
    output: Path, *, keep: int = 9, identity: Identity = IDENTITY
) -> tuple[int | None, str]:
    engine = TextEngine()
    step = resume(engine, output, identity, keep, RANKS)
    return step, engine.text


def _damage(folder: Path) -> None:
    (folder / "latest").write_text("another state")


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
