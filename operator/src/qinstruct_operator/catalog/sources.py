"""The published sources of training data: addresses, sizes, licences, strategies.

To add a source, add a row: the API's names and descriptions, the CRD's rules and the plan are
made from the table. Addresses: Q-Instruct's training instructions and LLaVA's data page, with
`/blob/main/`, which is a web page, replaced by `/resolve/main/`. Sizes: of the hub's files as its
pages round them; of COCO's, TextVQA's and Visual Genome's archives the bytes that several public
download scripts check for, of GQA's as those round it. The one of OCR-VQA's archive is unknown: it
is an estimate for 207,572 covers. Record counts were measured on the published files. Images: the
fewer of an archive's files and the records that name one, as issues 657 and 702 of LLaVA's
repository and Q-Instruct's paper count them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from qinstruct_trainer.contract.config import Strategy


@dataclass(frozen=True)
class PublishedSource:
    """One row of the table.

    Attributes:
        licence: what the publisher says, for the plan.
        strategies: the strategies that train on it.
        into: folder below the image root that the archive fills; makes the published tree.
        num_bytes: size of the file.
        num_records: records of a label file.
        num_images: images of an archive that records name, at most.
    """

    kind: Literal["labels", "images"]
    url: str
    licence: str
    strategies: tuple[Strategy, ...] = ("mix",)
    into: str = ""
    num_bytes: int | None = None
    num_records: int | None = None
    num_images: int | None = None


Q_INSTRUCT_LABELS: Final = "q-instruct-labels"
Q_INSTRUCT_IMAGES: Final = "q-instruct-images"
"""The two sources that may take the place of size Tiny's built-in data, together."""

DOWNLOAD_FACTOR: Final = 2
"""A download that has more than this times the published size is not the published file."""

_Q_INSTRUCT = "https://huggingface.co/datasets/q-future/Q-Instruct-DB/resolve/main"
_Q_INSTRUCT_LICENCE = "card: Apache-2.0; repository: S-Lab 1.0, non-commercial"
_LLAVA = "https://huggingface.co/datasets/liuhaotian/LLaVA-Instruct-150K/resolve/main"
_VISUAL_GENOME = "https://cs.stanford.edu/people/rak248/VG_100K_2"

SOURCES: Final[Mapping[str, PublishedSource]] = MappingProxyType(
    {
        Q_INSTRUCT_LABELS: PublishedSource(
            kind="labels",
            strategies=("mix", "after"),
            url=f"{_Q_INSTRUCT}/cleaned_labels.json",
            licence=_Q_INSTRUCT_LICENCE,
            num_bytes=76_500_000,
            num_records=200_534,
        ),
        Q_INSTRUCT_IMAGES: PublishedSource(
            kind="images",
            strategies=("mix", "after"),
            url=f"{_Q_INSTRUCT}/q-instruct-images.tar",
            licence=_Q_INSTRUCT_LICENCE,
            num_bytes=5_630_000_000,
            num_images=18_973,
        ),
        "mix665k-labels": PublishedSource(
            kind="labels",
            url=f"{_LLAVA}/llava_v1_5_mix665k.json",
            licence="CC BY 4.0, and the terms of OpenAI",
            num_bytes=1_030_000_000,
            num_records=665_298,
        ),
        "coco": PublishedSource(
            kind="images",
            url="http://images.cocodataset.org/zips/train2017.zip",
            licence="CC BY 4.0 annotations; images by Flickr's terms",
            into="coco",
            num_bytes=19_336_861_798,
            num_images=118_287,
        ),
        "gqa": PublishedSource(
            kind="images",
            url="https://downloads.cs.stanford.edu/nlp/data/gqa/images.zip",
            licence="CC BY 4.0",
            into="gqa",
            num_bytes=20_300_000_000,
            num_images=72_140,
        ),
        # The publishers' own OCR-VQA is a list of 200,000 addresses, most of them dead. Its
        # dataset.json may be given as the url (prep fetches what it lists); unless it is, the
        # community's archive of the same files, already saved as .jpg, is taken.
        "ocr-vqa": PublishedSource(
            kind="images",
            url="https://huggingface.co/datasets/weizhiwang/llava_v15_instruction_images"
            "/resolve/main/ocr_vqa_images_llava_v15.zip",
            licence="the covers' owners; research use",
            into="ocr_vqa/images",
            num_bytes=18_000_000_000,
            num_images=80_000,
        ),
        "textvqa": PublishedSource(
            kind="images",
            url="https://dl.fbaipublicfiles.com/textvqa/images/train_val_images.zip",
            licence="CC BY 4.0",
            into="textvqa",
            num_bytes=7_072_297_970,
            num_images=21_953,
        ),
        "vg-1": PublishedSource(
            kind="images",
            url=f"{_VISUAL_GENOME}/images.zip",
            licence="CC BY 4.0",
            into="vg",
            num_bytes=9_731_705_982,
            num_images=64_346,
        ),
        "vg-2": PublishedSource(
            kind="images",
            url=f"{_VISUAL_GENOME}/images2.zip",
            licence="CC BY 4.0",
            into="vg",
            num_bytes=5_471_658_058,
            num_images=43_903,
        ),
    }
)
"""Every source by name, in the order of the published merge: Q-Instruct first."""


def sources_of(strategy: Strategy) -> tuple[str, ...]:
    """The sources that a strategy trains on, in the order of the merge."""
    return tuple(name for name, source in SOURCES.items() if strategy in source.strategies)
