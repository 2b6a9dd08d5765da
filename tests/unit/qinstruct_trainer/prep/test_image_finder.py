"""The first image folder that has an image, as pathlib would find it."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from qinstruct_trainer.prep.image_finder import ImageFinder
from support.unprivileged import open_folder, unprivileged


def plainly_found(image: str, roots: Sequence[Path]) -> int | None:
    return next((n for n, root in enumerate(roots) if (root / image).is_file()), None)


def test_the_first_folder_that_has_the_image_is_taken(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("one", "two", "three")]
    for root in roots[1:]:
        (root / "below").mkdir(parents=True)
        (root / "below" / "a.jpg").touch()
    assert ImageFinder(roots).find("below/a.jpg") == 1
    assert ImageFinder(roots).find("below/b.jpg") is None
    assert ImageFinder(roots).find("below") is None  # a folder is no image
    assert ImageFinder([]).find("below/a.jpg") is None


def test_it_is_the_one_that_pathlib_finds(tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("one", "two", "three")]
    names = [f"{number % 3}/{number}.jpg" for number in range(21)]
    for number, name in enumerate(names):
        path = roots[number % 2] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (roots[1] / "0" / "0.jpg").touch()  # in two roots
    (roots[0] / "at the top.jpg").touch()
    (roots[0] / "0" / "a folder.jpg").mkdir()
    (roots[0] / "0" / "link.jpg").symlink_to(roots[1] / "0" / "0.jpg")
    (roots[0] / "0" / "loop.jpg").symlink_to("loop.jpg")
    finder = ImageFinder(roots)
    others = ("at the top.jpg", "0/a folder.jpg", "9/9.jpg", "0/link.jpg", "0/loop.jpg")
    for image in (*names, *others, "0/0.jpg/x", "0/a\0b.jpg", "a\0b/0.jpg"):
        assert finder.find(image) == plainly_found(image, roots), image


@pytest.mark.parametrize("image", ["closed/a.jpg", f"{'x' * 300}/a.jpg", f"{'x' * 300}.jpg"])
def test_what_cannot_be_looked_for_is_not_called_missing(image: str) -> None:
    with open_folder() as folder:
        (folder / "closed").mkdir(mode=0)
        try:
            with unprivileged():
                with pytest.raises(OSError, match=r"Permission denied|File name too long"):
                    plainly_found(image, [folder])
                with pytest.raises(OSError, match=r"Permission denied|File name too long"):
                    ImageFinder([folder]).find(image)
        finally:
            (folder / "closed").chmod(0o700)
