"""Verifies a checkpoint: each file that its manifest names is there and has its digest.

That finds damage, not malice: whoever may write a file may write its digest (`model.torch_files`).
"""

import errno
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.durable_files import read_bounded
from qinstruct_trainer.train.checkpoint.layout import step_of
from qinstruct_trainer.train.checkpoint.manifest import (
    MANIFEST,
    CheckpointManifest,
    is_plain,
    share_of_digests,
)
from qinstruct_trainer.train.ranks import Ranks, sum_over_ranks

_MAX_MANIFEST_BYTES: Final = 16 << 20  # that of a thousand ranks has half a million
# What the system says of a file that is gone. EIO is no verdict: a network volume that comes and
# goes says it too.
_DAMAGE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})


def verified_manifest(folder: Path, ranks: Ranks) -> CheckpointManifest | None:
    """The manifest, or None where the checkpoint is damaged. A collective call.

    Each rank reads its share of the files; all ranks get the same verdict.

    Raises:
        StorageError: it cannot be read now, which says nothing about what is in it.
    """
    manifest: CheckpointManifest | None
    found: dict[str, str]
    try:
        manifest, found = None, {}
        if is_plain(folder):
            content = read_bounded(folder / MANIFEST, _MAX_MANIFEST_BYTES)
            manifest = CheckpointManifest.model_validate_json(content)
            found = share_of_digests(folder, ranks)
    except (ValidationError, RecursionError):  # the second: folders in folders without an end
        manifest, found = None, {}
    except OSError as error:
        if error.errno not in _DAMAGE:
            raise StorageError(
                f"the checkpoint {folder} cannot be read: {error.strerror}; check the volume, then "
                "run again"
            ) from error
        manifest, found = None, {}
    expected = manifest.files if manifest else {}
    intact = (
        manifest is not None
        and manifest.step == step_of(folder)
        and all(expected.get(name) == digest for name, digest in found.items())
    )
    present, num_intact = sum_over_ranks([len(found), float(intact)], ranks.device)
    complete = num_intact == ranks.world_size and present == len(expected)
    return manifest if complete else None
