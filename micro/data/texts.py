"""The two texts that ship with the course.

The files are in `data/` (see the README there) or, in an installed package, inside it. Each is checked against its
sha256 on every read, so that a loss you measure is a loss on the same data.
"""
import hashlib
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# In the repository the files lie beside the package; a wheel carries them inside it.
PLACES = (_PACKAGE.parent / "data", _PACKAGE / "_data")

_SHA256 = {
    "names.txt": "bd02dfd33179e23ec2dd093cbd4de619834f75d660ef1ae04d3127e7a0110053",
    "shakespeare.txt": "4890ba032b118983431e0f57fde9e75275a781f1e09caef75613528e56674eeb",
}


def _read(filename):
    """The text of one shipped file, with Unix line ends, after its hash was checked."""
    cure = f"restore it with `git checkout -- data/{filename}` (or, if micro came from pip, install it again)"
    for place in PLACES:
        path = place / filename
        if path.is_file():
            break
    else:
        raise FileNotFoundError(f"the data file {PLACES[0] / filename} is missing: {cure}.")
    # Git on Windows may check text out with \r\n. Undo that before hashing: it is the same text.
    raw = path.read_bytes().replace(b"\r\n", b"\n")
    if hashlib.sha256(raw).hexdigest() != _SHA256[filename]:
        raise ValueError(f"the data file {path} was altered (its sha256 is not the course's): {cure}.")
    return raw.decode("ascii")


def names():
    """The first names given in the USA in 2018, as a list of 32,257 lower-case strings over a to z.

    Girls' names come first, then boys', each by number of births; a name given to both stands twice
    (29,693 are distinct). The shortest has 2 letters, the longest 15. Shuffle before you split.

    Source: US Social Security Administration, national data (public domain); see data/README.md.

    Raises FileNotFoundError if the file is missing and ValueError if it was altered.

    >>> words = names()
    >>> len(words), words[:3], max(len(w) for w in words)
    (32257, ['emma', 'olivia', 'ava'], 15)
    """
    return _read("names.txt").splitlines()


def shakespeare():
    r"""Nine plays of Shakespeare as one string of 1,182,959 characters, 63 of them distinct.

    Each speech is `SPEAKER:` on a line of its own, the speech, and a blank line. Plain ASCII: line feed,
    space, ``!&',-.:;?``, A to Z and a to z.

    Source: Project Gutenberg (public domain); see data/README.md.

    Raises FileNotFoundError if the file is missing and ValueError if it was altered.

    >>> text = shakespeare()
    >>> len(text), len(set(text)), text[:14]
    (1182959, 63, 'FIRST CITIZEN:')
    """
    return _read("shakespeare.txt")
