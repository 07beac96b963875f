"""What every program of this course does with files: name the problem in one sentence, and never leave half a file."""
import os
from contextlib import contextmanager
from pathlib import Path


class Problem(Exception):
    """Something that the person at the keyboard can fix, in one sentence. Programs print it and exit with code 2."""


@contextmanager
def whole_file(path, mode="wb"):
    """Open a new file for writing; it takes the name `path` only when it is complete.

    The data goes to a second file in the same folder first. When the block ends without an error, that file is
    forced to the disk and renamed: os.replace is all or nothing (POSIX rename). If the block fails, or the process
    is killed, the file at `path` is still the old one.
    """
    part = Path(f"{path}.{os.getpid()}.part")
    try:
        text = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
        with open(part, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())         # on the disk, not just in the system's memory
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read_text(path):
    """The UTF-8 text in a file. Raises Problem if it cannot be read or is not UTF-8."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as error:
        raise Problem(f"cannot read {str(path)!r}: {error.strerror or error}. Name a file that exists.") from None
    except UnicodeDecodeError as error:
        raise Problem(f"{str(path)!r} is not text in UTF-8 (byte {error.start}): save it as UTF-8 first.") from None
