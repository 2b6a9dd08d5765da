from pathlib import Path

from qinstruct_trainer.train.checkpoint.quarantine import set_aside


def test_the_one_that_is_set_aside_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for step in (2, 3, 2):  # a step that is trained and damaged a second time too
        folder = tmp_path / f"step-{step:08d}"
        folder.mkdir()
        (folder / "latest").write_text(str(step))
        moved = set_aside(tmp_path, folder)
        assert moved == tmp_path / "quarantine" / folder.name
        assert list((tmp_path / "quarantine").iterdir()) == [moved]
        assert (moved / "latest").read_text() == str(step)
        assert not folder.exists()
