"""The trainer's command prints one document, or says why it cannot."""

from pathlib import Path

import pytest

from qinstruct_trainer.cache.command import run_cache
from qinstruct_trainer.contract.cache import CacheListing, Pruned, Verified
from qinstruct_trainer.contract.errors import ConfigError, StorageError
from qinstruct_trainer.contract.events import Verifying, parse_line
from support.cache.units import LABELS, make
from support.unprivileged import open_folder, unprivileged


def test_ls_verify_and_prune(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = make(tmp_path, LABELS)
    run_cache(["ls", f"--cache={tmp_path}"])
    listing = CacheListing.model_validate_json(capsys.readouterr().out)
    assert [entry.name for entry in listing.entries] == [folder.name]
    assert listing.num_bytes == listing.entries[0].num_bytes
    assert listing.free_bytes > 0

    run_cache(["verify", f"--cache={tmp_path}"])
    *events, last = capsys.readouterr().out.splitlines()
    assert Verified.model_validate_json(last).num_units == 1
    assert all(isinstance(parse_line(event, None), Verifying) for event in events)

    prune = ["prune", f"--cache={tmp_path}", "--unused=0", "--ended=x"]
    for yes, done in (([], False), (["--yes"], True)):
        run_cache([*prune, *yes])
        pruned = Pruned.model_validate_json(capsys.readouterr().out)
        assert ([entry.name for entry in pruned.deleted], pruned.done) == ([folder.name], done)
        assert folder.exists() != done


def test_no_cache(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no cache of qinstruct"):
        run_cache(["ls", f"--cache={tmp_path / 'none'}"])


def test_a_cache_that_may_not_be_written_is_a_sentence() -> None:
    with open_folder() as root:
        make(root, LABELS)
        leases = root / "units" / ".leases"
        leases.chmod(0o555)
        try:
            with (
                unprivileged(),
                pytest.raises(StorageError, match="cannot be taken: Permission denied"),
            ):
                run_cache(["prune", f"--cache={root}", "--unused=0", "--ended=x", "--yes"])
        finally:
            leases.chmod(0o755)
