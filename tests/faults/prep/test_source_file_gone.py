"""A version that does not come, is damaged, or is not the one that was to be fetched."""

from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import TRUSTED_DAYS, PrepConfig
from qinstruct_trainer.contract.errors import UnavailableError
from qinstruct_trainer.prep.run import run_prep
from qinstruct_trainer.prep.unit_cache import DOWNLOADS, verify
from qinstruct_trainer.prep.unit_manifest import MANIFEST
from support.prep.changed_files import FIRST_BYTE, change, known, let_pass, prepare, sources_of
from support.prep.file_server import FaultyServer, serve
from support.prep.miniature import LABELS, Miniature
from support.prep.prep_json import write_prep_json


def announce_only(server: FaultyServer) -> None:
    """Say which version there is, and send it to nobody."""
    server.before = lambda _: (
        server.faults.append("gone") if server.ranges[-1] != FIRST_BYTE else None
    )


def test_a_new_version_that_does_not_come_leaves_what_there_is(
    server: FaultyServer, miniature: Miniature, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = prepare(server, tmp_path)
    change(miniature, server)
    let_pass(tmp_path)
    announce_only(server)
    assert prepare(server, tmp_path, "second") == first
    assert caplog.text.count("404 Not Found; its earlier file in the cache is taken") == 2
    server.before = lambda _: None
    change(miniature, server, seed=2)  # and once more
    third = prepare(server, tmp_path, "third")
    assert (third[0] / "file").read_bytes() == miniature.labels.read_bytes()
    assert not set(third) & set(first)


def test_who_goes_away_before_a_new_version_has_come_leaves_what_there_is(
    miniature: Miniature, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(miniature.labels.parent) as server:
        first = prepare(server, tmp_path)
        for seed in (1, 2):  # announced, and never sent
            change(miniature, server, seed)
            let_pass(tmp_path)
            announce_only(server)
            assert prepare(server, tmp_path, "second") == first
    caplog.clear()
    assert prepare(server, tmp_path, "third") == first
    said = "ConnectError (Connection refused); its earlier file in the cache is taken"
    assert caplog.text.count(said) == 2


def test_where_no_version_is_left_its_server_is_named(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    first = prepare(server, tmp_path)
    change(miniature, server)
    let_pass(tmp_path)
    (first[0] / "file").write_text("[]")  # damaged
    announce_only(server)
    with pytest.raises(UnavailableError, match="404"):
        prepare(server, tmp_path, "second")


def damage(unit: Path) -> None:
    file = next(path for path in unit.rglob("*") if path.is_file() and path.name != MANIFEST)
    file.write_bytes(b"x" * (file.stat().st_size + 1))


@pytest.mark.parametrize("is_same", [True, False])
def test_what_is_damaged_is_not_made_of_another_version_under_the_same_name(
    server: FaultyServer, miniature: Miniature, tmp_path: Path, *, is_same: bool
) -> None:
    first = prepare(server, tmp_path)
    if not is_same:
        change(miniature, server)
    for unit in first:
        damage(unit)
    server.ranges.clear()
    second = prepare(server, tmp_path, "second")
    assert server.ranges == [None, None]  # each came once
    assert (second[0] / "file").read_bytes() == miniature.labels.read_bytes()
    for unit in second:
        verify(unit)
    assert [one == two for one, two in zip(first, second, strict=True)] == [is_same, is_same]
    assert prepare(server, tmp_path, "third") == second
    assert not [*(tmp_path / "cache" / DOWNLOADS).iterdir()]


def test_a_run_whose_version_is_damaged_gets_the_newest_under_its_own_name(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    config = PrepConfig.read(write_prep_json(tmp_path, "run", sources_of(server)))
    first = run_prep(config, lambda _: None)
    labels, _ = prepare(server, tmp_path)
    change(miniature, server)
    let_pass(tmp_path)
    newest, _ = prepare(server, tmp_path, "second")
    damage(labels)
    server.ranges.clear()
    again = run_prep(config, lambda _: None)
    assert again.versions != first.versions
    assert server.ranges == []  # it is there
    assert not labels.exists()
    assert (newest / "file").read_bytes() == miniature.labels.read_bytes()


def test_a_file_that_changes_after_its_server_was_asked_is_a_version_of_its_own(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    first = prepare(server, tmp_path)
    change(miniature, server, seed=1)
    let_pass(tmp_path)
    announced: list[str] = []

    def change_again(_: int) -> None:
        if server.ranges[-1] != FIRST_BYTE:
            server.before = lambda _: None
            announced.extend(f"{said['version']}" for said in known(tmp_path).values())
            change(miniature, server, seed=2)

    server.before = change_again
    second = prepare(server, tmp_path, "second")
    assert (second[0] / "file").read_bytes() == miniature.labels.read_bytes()
    server.ranges.clear()
    assert prepare(server, tmp_path, "third") == second
    assert server.ranges == []
    assert second[0] != first[0]
    (version,) = filter(None, announced)
    assert version not in (second[0] / MANIFEST).read_text()


def test_what_is_deleted_is_not_made_of_another_version_under_the_same_name(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    first = prepare(server, tmp_path)
    change(miniature, server)
    (first[0] / MANIFEST).parent.rename(tmp_path / "away")
    assert prepare(server, tmp_path, "second")[0] != first[0]


@pytest.mark.parametrize("is_first", [True, False], ids=["url", "mirror"])
def test_a_file_of_this_machine_is_asked_for_in_the_place_of_the_server_that_had_none(
    is_first: bool,
    server: FaultyServer,
    miniature: Miniature,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = tmp_path / "own.json"
    own.write_bytes(miniature.labels.read_bytes())
    addresses = [f"{server.url}/nothing", own.as_uri()]
    url, mirror = reversed(addresses) if is_first else addresses
    first = prepare(server, tmp_path, url=url, mirrors=(mirror,))
    assert len(known(tmp_path)) == 2
    caplog.clear()
    for days in (TRUSTED_DAYS - 1, TRUSTED_DAYS + 1):
        let_pass(tmp_path, days)
        server.ranges.clear()
        assert prepare(server, tmp_path, "second", url=url, mirrors=(mirror,)) == first
        assert server.ranges == [FIRST_BYTE] * (days > TRUSTED_DAYS)  # of the images alone
    assert caplog.messages == []


def test_what_a_mirror_of_a_file_that_is_gone_has_sent_is_asked_for_again(
    server: FaultyServer, miniature: Miniature, tmp_path: Path
) -> None:
    url, mirrors = (tmp_path / "gone.json").as_uri(), (f"{server.url}/{LABELS}",)
    first = prepare(server, tmp_path, url=url, mirrors=mirrors)
    change(miniature, server)
    let_pass(tmp_path)
    assert prepare(server, tmp_path, "second", url=url, mirrors=mirrors)[0] != first[0]
