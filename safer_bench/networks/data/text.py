"""The King James Version as bytes: sequences of a fixed length and, at every position of one, the byte that comes next."""

import os
import re
import subprocess
from functools import cache
from hashlib import sha256
from itertools import groupby

import numpy as np

from safer_bench.errors import BadInput, MissingData
from safer_bench.networks.data.folders import folders_for
from safer_bench.stream import Stream

SOURCE = "the King James Version (public domain; Debian's bible-kjv-text)"
COMMAND = ("bible", "-f", "gen1:1-rev22:21")  # of Debian's package bible-kjv
FILE = "bible-kjv.txt"  # what the command prints
SHA256 = "cd45f0c9cedab8e4439bd6486c8952c77cc8b0ecc5d1f6ae3513f2039f47229d"
N_BYTES = 4_404_412
N_CHAPTERS = 1189
LENGTH = 64
PARTS = {"tune": 30, "calibration": 30, "evaluation": 45, "budget": 30}  # chapters; fit has the others
VERSE = re.compile(rb"(?P<chapter>\S+):\d+ (?P<words>.*)")


def part_indices() -> dict[str, np.ndarray]:
    """Return the numbers of each part's chapters, counted from 0 in the order of the books."""
    order = Stream("text", "parts").permutation(N_CHAPTERS)
    *parts, fit = np.split(order, np.cumsum(list(PARTS.values())))
    return {"fit": fit, **dict(zip(PARTS, parts, strict=True))}


def read_part(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return bytes and the bytes that come next, both int64 ``(n, LENGTH)``.

    A chapter is cut from its beginning, and no sequence spans two. A probe sees consecutive ones, so their order is random.

    Raises:
        MissingData: the text is not on this machine.
        BadInput: a file or a command gives another text.
    """
    chapters = read_chapters()
    pairs = [cut(chapters[number]) for number in part_indices()[part]]
    inputs, labels = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    order = Stream("text", part).permutation(len(inputs))
    return inputs[order], labels[order]


def cut(chapter: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return a chapter's whole sequences ``(n, LENGTH)`` and what comes next at each position; the rest is left out."""
    values = np.frombuffer(chapter, np.uint8).astype(np.int64)
    n = (len(values) - 1) // LENGTH
    return values[: n * LENGTH].reshape(n, LENGTH), values[1 : n * LENGTH + 1].reshape(n, LENGTH)


@cache
def read_chapters() -> list[bytes]:
    """Return the text of each chapter in the order of the books: a verse a line, without its reference.

    Raises:
        MissingData: the text is not on this machine.
        BadInput: a file or a command gives another text.
    """
    verses = [VERSE.fullmatch(line) for line in _listing().splitlines()]
    found = [(verse["chapter"], verse["words"]) for verse in verses if verse]
    chapters = [b"".join(words + b"\n" for _, words in rows) for _, rows in groupby(found, key=lambda verse: verse[0])]
    if len(found) != len(verses) or len(chapters) != N_CHAPTERS:
        raise BadInput(f"{FILE}: {len(chapters)} chapters; expected {N_CHAPTERS}")
    return chapters


def _listing() -> bytes:
    """Return a verse a line, each behind its reference: from the given folder, else as Debian's command prints it."""
    for path in [folder / FILE for folder in folders_for("text")]:
        if path.is_file():
            return _checked(path.read_bytes(), str(path))
    try:
        printed = subprocess.run(COMMAND, stdin=subprocess.DEVNULL, capture_output=True, check=True)  # noqa: S603  constant
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingData(
            "The text of the King James Version is not on this machine. Looked for "
            f"{FILE} in the folder named by SAFER_BENCH_DATA ({os.environ.get('SAFER_BENCH_DATA') or 'not set'}) and for "
            f"the command {COMMAND[0]!r} (apt-get install bible-kjv bible-kjv-text)"
        ) from error
    return _checked(printed.stdout, " ".join(COMMAND))


def _checked(listing: bytes, where: str) -> bytes:
    found = sha256(listing).hexdigest()
    if found != SHA256:
        raise BadInput(
            f"{where}: {len(listing)} bytes of SHA-256 {found[:16]}; expected the {N_BYTES} bytes of {SHA256[:16]} that "
            f"'{' '.join(COMMAND)}' of Debian's bible-kjv prints"
        )
    return listing
