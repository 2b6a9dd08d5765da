"""The units of a cache, to be compared with those of another one."""

from pathlib import Path

from qinstruct_trainer.prep.unit_manifest import UnitManifest

_OF_FOLDER = ("meta.json", "table.bin")  # of an index, and of a table of stored pixels


def manifests(cache: Path) -> dict[str, UnitManifest]:
    """By stage and item."""
    folders = [path for path in (cache / "units").iterdir() if not path.name.startswith(".")]
    return {
        folder.name.rsplit("-", 1)[0]: UnitManifest.model_validate_json(
            (folder / "manifest.json").read_bytes()
        )
        for folder in folders
    }


def digests(cache: Path) -> dict[str, dict[str, str]]:
    """Of the files that do not name the cache's own folder, by stage and item."""
    return {
        name: {file.path: file.sha256 for file in manifest.files if file.path not in _OF_FOLDER}
        for name, manifest in manifests(cache).items()
    }
