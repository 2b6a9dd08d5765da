from pathlib import Path

from qinstruct_trainer.train.checkpoint.quarantine import Quarantine


def test_those_of_an_earlier_start_are_deleted_with_the_first_one_added(tmp_path: Path) -> None:
    old = tmp_path / "quarantine" / "step-00000001"
    old.mkdir(parents=True)
    quarantine = Quarantine(tmp_path)
    assert old.is_dir()
    for name in ("step-00000002", ".partial-step-00000003"):
        (tmp_path / name).mkdir()
        quarantine.add(tmp_path / name, "is damaged")
    names = sorted(path.name for path in (tmp_path / "quarantine").iterdir())
    assert names == ["step-00000002", "step-00000003"]
    assert [path.name for path in tmp_path.iterdir()] == ["quarantine"]
