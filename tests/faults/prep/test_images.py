"""Images are found in any folder and decoded, by processes where there are many."""

from pathlib import Path

import pytest

from qinstruct_trainer.contract.events import Event, PrepProgress
from qinstruct_trainer.prep.extract import extract
from support.prep.examine import examine_images
from support.prep.gate_progress import progress
from support.prep.miniature import write_miniature


def images_of(folder: Path, num_images: int = 12) -> list[str]:
    """Names of images that were unpacked below `<folder>/images`."""
    made = write_miniature(folder / "miniature", num_images=num_images)
    extract(made.archive, "images", folder / "images", progress())
    return list(dict.fromkeys(str(record["image"]) for record in made.records))


def test_image_is_found_in_any_root(tmp_path: Path) -> None:
    images = images_of(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "images" / "spaq_koniq").rename(tmp_path / "other" / "spaq_koniq")
    both = [tmp_path / "images", tmp_path / "other"]
    assert examine_images(images, both, progress()).faults == {}
    faults = examine_images(images, [tmp_path / "other"], progress()).faults
    assert faults == {
        image: f"image {image} is in none of the image archives"
        for image in images
        if not image.startswith("spaq_koniq")
    }


def test_an_image_that_does_not_decode_is_named_and_all_are_counted(tmp_path: Path) -> None:
    images = images_of(tmp_path)
    (tmp_path / "images" / images[2]).write_bytes(b"no image")
    events: list[Event] = []
    faults = examine_images(images, [tmp_path / "images"], progress(events)).faults
    assert list(faults) == [images[2]]
    assert "is no JPEG, PNG" in faults[images[2]]
    last = events[-1]
    assert isinstance(last, PrepProgress)
    assert (last.done, last.total) == (12, 12)


@pytest.mark.slow
def test_many_images_are_decoded_by_processes(tmp_path: Path) -> None:
    images = images_of(tmp_path, num_images=300)
    (tmp_path / "images" / images[-1]).write_bytes(b"no image")
    assert list(examine_images(images, [tmp_path / "images"], progress()).faults) == [images[-1]]
