"""The whole of prep on wrong data: each kind ends in its verdict, and no half of it is a unit."""

import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from qinstruct_trainer.contract.config import PrepConfig
from qinstruct_trainer.contract.errors import DataError, RunError, Stopped, UnavailableError
from qinstruct_trainer.contract.events import Event, PrepProgress
from qinstruct_trainer.data.images import load_pixels
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.prep.run import run_prep
from qinstruct_trainer.prep.unit_cache import verify
from support.prep import corruption as make
from support.prep.corruption import NAMES, PAGE, POINTER, VICTIM, Bundle, Change, picture, record
from support.prep.prep_json import write_prep_json


class Wrong(NamedTuple):
    """What is wrong, and what must be said of it."""

    change: Change
    words: str
    error: type[RunError] = DataError


OF_VICTIM = rf"record 1: image .*{VICTIM}"
OF_ARCHIVE = "images: the archive "
WRAPPED = "the source's folder around it"
TURNS = "conversations"
HUMAN, GPT = {"from": "human", "value": "Is it?"}, {"from": "gpt", "value": "Yes."}

IMAGES = {
    "JPEG cut": Wrong(make.image_is(picture()[:-200]), f"{OF_VICTIM} does not decode"),
    "PNG cut": Wrong(make.image_is(picture("PNG")[:-200]), f"{OF_VICTIM} does not decode"),
    "no bytes": Wrong(make.image_is(b""), f"{OF_VICTIM} is no JPEG.* an empty file"),
    "zeros": Wrong(make.image_is(bytes(900)), f"{OF_VICTIM} is no JPEG.* a file of zeros"),
    "text": Wrong(make.image_is(b"no image"), f"{OF_VICTIM} is no JPEG"),
    "page": Wrong(make.image_is(PAGE), f"{OF_VICTIM} is no JPEG.* but an HTML page"),
    "pointer": Wrong(make.image_is(POINTER), f"{OF_VICTIM} is no .* a pointer of Git LFS"),
    "PDF": Wrong(make.image_is(b"%PDF-1.4 x"), f"{OF_VICTIM} is no JPEG.* but a PDF"),
    "PostScript, which would run": Wrong(
        make.image_is(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), f"{OF_VICTIM} is no JP"
    ),
    "40,000 x 40,000": Wrong(
        make.image_is(make.png_that_says(40_000, 40_000)),
        f"{OF_VICTIM} is more than .* pixels; make",
    ),
    "a strip that is padded": Wrong(
        make.image_is(make.png_that_says(40_000, 1)), f"{OF_VICTIM} is 40000 x 1 pixels"
    ),
    "missing": Wrong(make.missing, f"{OF_VICTIM} is in none of the image archives"),
    "another case": Wrong(
        make.renamed(str.upper), f"{OF_VICTIM} is in none .*A/2.JPG is there, whose name has other"
    ),
}
ARCHIVES = {
    "out of the folder": Wrong(make.member("../evil"), f"{OF_ARCHIVE}has the member '../evil'"),
    "absolute": Wrong(make.member("/evil"), f"{OF_ARCHIVE}has the member '/evil'"),
    "backslash": Wrong(make.member("a\\evil"), f"{OF_ARCHIVE}has the member .*evil"),
    "symbolic link": Wrong(
        make.member("link", tarfile.SYMTYPE, "/etc/passwd"), "the member 'link', which is a link"
    ),
    "hard link out": Wrong(
        make.member("link", tarfile.LNKTYPE, "../../x"), "the member 'link', which is a link"
    ),
    "character device": Wrong(make.member("odd", tarfile.CHRTYPE), "'odd', which is a device"),
    "block device": Wrong(make.member("odd", tarfile.BLKTYPE), "'odd', which is a device"),
    "fifo": Wrong(make.member("odd", tarfile.FIFOTYPE), "'odd', which is a device"),
    "link in zip": Wrong(make.archive_by(make.link_in_zip), "'b/link.jpg', which is a link"),
    "file that is a folder": Wrong(make.member("a"), "^images: .*/a cannot be made"),
    "bomb": Wrong(make.archive_by(make.bomb_in_zip), "'bomb.jpg', which makes .* only a bomb"),
    "encrypted": Wrong(make.archive_by(make.encrypted), f"{OF_ARCHIVE}.*{NAMES[0]}.* encrypted"),
    "cut": Wrong(make.archive_by(lambda b: b.packed()[:3000]), f"{OF_ARCHIVE}is truncated"),
    "cut gzip": Wrong(make.archive_by(lambda b: b.packed("w:gz")[:-900]), f"{OF_ARCHIVE}is trunc"),
    "followed by others' bytes": Wrong(
        make.archive_by(lambda b: b.packed() + b"x" * 999), "no member header .*after the archive's"
    ),
    "no member": Wrong(make.archive_by(lambda b: Bundle(images={}).packed()), "holds no file"),
    "no bytes": Wrong(make.archive_is(b""), "images: the file is an empty file"),
    "7z": Wrong(make.archive_is(b"7z\xbc\xaf\x27\x1c" + bytes(99)), "images: .* a 7z archive"),
    "page": Wrong(make.archive_is(PAGE), "images.* HTML page", UnavailableError),
    "pointer": Wrong(make.archive_is(POINTER), "images.* a pointer of Git LFS", UnavailableError),
    "an error as JSON": Wrong(
        make.archive_is(b'{"error": "Repository not found"}'), "images: entry 0 .* has no imageURL"
    ),
    "below a folder of another name": Wrong(
        make.below("wrapper"), rf"record 0: image {NAMES[0]} is in none"
    ),
}
LABELS = {
    "bad record at the end": Wrong(
        make.last_record({"id": "x"}), "record 2 .*conversations are no"
    ),
    "null at the end": Wrong(make.last_record(None), "record 2 is missing or null"),
    "no turns": Wrong(make.last_record(record(VICTIM, **{TURNS: []})), "record 2 .*not a list of"),
    "a wrong role": Wrong(
        make.last_record(record(VICTIM, **{TURNS: [HUMAN, GPT | {"from": "robot"}]})),
        "record 2 .*turn 1 is from 'robot'",
    ),
    "one side twice": Wrong(
        make.last_record(record(VICTIM, **{TURNS: [HUMAN, HUMAN]})), "record 2 .*turn 1 is from hu"
    ),
    "a number said": Wrong(
        make.last_record(record(VICTIM, **{TURNS: [HUMAN, GPT | {"value": 3}]})),
        "record 2 .*value of turn 1 is a number",
    ),
    "not a word": Wrong(
        make.last_record(record(VICTIM, **{TURNS: [GPT | {"value": " "}]})), "record 2 .*not a sin"
    ),
    "half a character": Wrong(make.last_record(record(VICTIM, "\ud800")), "record 2 .*surrogate"),
    "two images": Wrong(
        make.last_record(record(None, image=[*NAMES])), "record 2 .*names 3 images"
    ),
    "an image that is a number": Wrong(
        make.last_record(record(None, image=3)), "record 2 .*its image is 3, not a path"
    ),
    "an image out of the folder": Wrong(
        make.last_record(record("../x.jpg")), "record 2 .*'../x.jpg' is not below the image folder"
    ),
    "an image that is a folder": Wrong(
        make.last_record(record("a")), "record 2: image a is in none"
    ),
    "pictures named by nothing": Wrong(
        lambda bundle: bundle.records.__setitem__(slice(None), [record(None, image=None)] * 3),
        "labels: 3 of 3 records that speak of a picture name none",
    ),
    "no records": Wrong(make.labels_by(lambda _: "[]"), "labels has no records; set data"),
    "no bytes": Wrong(make.labels_by(lambda _: ""), "labels.* an empty file"),
    "an object": Wrong(make.labels_by(lambda _: '{"data": []}'), "labels, record 0: .*JSON object"),
    "JSON lines": Wrong(make.labels_by(make.json_lines), "labels, .*a file of JSON lines"),
    "UTF-16": Wrong(make.labels_by(lambda b: b.text().encode("utf-16")), "labels, .*UTF-16"),
    "Latin-1": Wrong(
        make.labels_by(lambda b: b.text().replace("Yes", "\xfc").encode("latin-1")), "not UTF-8"
    ),
    "NaN": Wrong(make.last_text('{"id": NaN}'), r"labels, record 3: .*NaN"),
    "Infinity": Wrong(make.last_text('{"id": -Infinity}'), r"labels, record 3: .*Infinity"),
    "a comma too many": Wrong(make.labels_by(lambda b: b.text()[:-1] + ",]"), "labels, record 3"),
    "cut in a record": Wrong(make.labels_by(lambda b: b.text()[:-40]), "labels, record 2"),
    "cut between records": Wrong(
        make.labels_by(lambda b: b.text()[:-1]), "labels, record 3: .*truncated"
    ),
    "two arrays": Wrong(make.labels_by(lambda b: b.text() * 2), "labels, record 3: something foll"),
    "an endless number": Wrong(
        make.last_text(f'{{"id": 1{"0" * 5000}}}'), "labels, record 3: .*dig"
    ),
    "nested without end": Wrong(
        make.last_text("[" * 100_000), "labels, record 3: .*nested too deep"
    ),
    "Python's quotes": Wrong(make.labels_by(lambda b: str(b.records)), "labels, record 0: .*JSON"),
    "a zero byte": Wrong(make.last_text("\0"), "labels, record 3: .*JSON"),
    "a line end in a text": Wrong(make.last_text('"a\nb"'), "labels, record 3: .*JSON"),
    "page": Wrong(make.labels_by(lambda _: PAGE), "labels.* HTML page", UnavailableError),
    "pointer": Wrong(make.labels_by(lambda _: POINTER), "labels.*Git LFS", UnavailableError),
    "gzip": Wrong(make.labels_by(make.gzipped), "labels, record 0: the file is a gzip file"),
    "zip": Wrong(make.labels_by(lambda b: b.zipped()), "labels, record 0: the file is a zip arch"),
}
LEGAL: dict[str, Change] = {
    "GIF": make.image_is(picture("GIF", "P")),
    "PNG": make.image_is(picture("PNG")),
    "PNG of 16 bits": make.image_is(picture("PNG", "I;16")),
    "JPEG for printing": make.image_is(picture("JPEG", "CMYK")),
    "one pixel high": make.image_is(picture(size=(90, 1))),
    WRAPPED: make.below("images"),
    "two tars": make.archive_by(make.concatenated),
    "zip": make.archive_by(lambda bundle: bundle.zipped()),
    "gzip": make.archive_by(lambda bundle: bundle.packed("w:gz")),
    "a member twice": make.archive_by(make.twice),
    "a Mac's files": make.member("._images"),
    "a mark in front": make.labels_by(lambda b: b"\xef\xbb\xbf" + b.text().encode()),
    "an id twice": make.last_record(record(NAMES[2]) | {"id": f"of {NAMES[0]}"}),
    "the image twice in a turn": make.last_record(record(NAMES[2], "<image> or <image>?")),
    "a list of one image": make.last_record(record(None, image=[NAMES[2]])),
    "a Mac's form of a name": make.in_nfd,
    "null for no image": make.last_record(record(None, "Is it?", image=None)),
}


def config_of(bundle: Bundle, folder: Path, **changes: Any) -> PrepConfig:
    sources = bundle.write(folder / "served")
    return PrepConfig.read(write_prep_json(folder, "run", sources, **changes))


def assert_nothing_is_half_made(folder: Path) -> None:
    units = folder / "cache" / "units"
    for unit in units.glob("[!.]*"):
        verify(unit)
    assert [path.name for path in units.glob(".*")] in ([], [".leases"])


def stop_when_merged(event: Event) -> None:
    if isinstance(event, PrepProgress) and event.stage == "merge" and event.done == event.total:
        raise Stopped("merged")


WRONG = {
    f"{what}: {name}": wrong
    for what, table in (("image", IMAGES), ("archive", ARCHIVES), ("labels", LABELS))
    for name, wrong in table.items()
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_named_and_nothing_of_it_stays(wrong: Wrong, tmp_path: Path) -> None:
    bundle = Bundle()
    wrong.change(bundle)
    config = config_of(bundle, tmp_path)
    with pytest.raises(wrong.error, match=wrong.words) as caught:
        run_prep(config, lambda _: None)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 2000
    assert_nothing_is_half_made(tmp_path)
    assert not config.output.joinpath("prepared.json").exists()
    assert not list(tmp_path.parent.rglob("evil"))


@pytest.mark.parametrize("change", LEGAL.values(), ids=LEGAL)
def test_what_is_odd_and_legal_is_merged_whole(change: Change, tmp_path: Path) -> None:
    bundle = Bundle()
    change(bundle)
    with pytest.raises(Stopped):
        run_prep(config_of(bundle, tmp_path), stop_when_merged)
    assert_nothing_is_half_made(tmp_path)
    (extracted,) = (tmp_path / "cache" / "units").glob("extract-images-*/files")
    images = [path for path in extracted.rglob("*") if path.is_file()]
    assert len(images) == len(NAMES)
    for path in images:
        assert np.isfinite(load_pixels(path)).all()


@pytest.mark.slow  # builds the tiny model
def test_all_that_is_legal_at_once_is_prepared(tmp_path: Path) -> None:
    whole = Bundle(records=[], images={})
    for number, (name, change) in enumerate(LEGAL.items()):
        bundle = Bundle()
        change(bundle)
        if bundle.archive or bundle.labels or name == WRAPPED:
            continue  # of the whole file
        whole.images |= {f"{number}/{path}": each for path, each in bundle.images.items()}
        for each in bundle.records:
            image = each.get("image")
            image = image[0] if isinstance(image, list) else image
            whole.records.append(each if image is None else each | {"image": f"{number}/{image}"})
    prepared = run_prep(config_of(whole, tmp_path), lambda _: None)
    index = Index.open(prepared.index)
    assert (len(index), prepared.num_dropped) == (len(whole.records), 0)
    assert len(whole.records) > 20
    assert_nothing_is_half_made(tmp_path)
