"""CIFAR-10 and CIFAR-100, downloaded once and kept; and your own images, from an .npz file. Part of micro.data.

The archives lie in Toronto, with a copy at Baidu. Their sha256 is checked first, so it is all one who sent them.
"""

import codecs
import contextlib
import errno
import hashlib
import os
import pickle
import shutil
import sys
import tarfile
import time
from collections import namedtuple
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from micro.files import whole_file
from micro.progress import progress

# Bytes and sha256 of SOURCE-python.tar.gz, the same from every host. In it are pickled dicts: `train` and `test` with
# b"data" (N, 3072) and, under `label` + "s", labels; `meta` with the classes, under `label` + "_names".
_Archive = namedtuple("_Archive", "size sha256 folder train test meta label")
_ARCHIVES = {
    "CIFAR-10": _Archive(170_498_071, "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
                         "cifar-10-batches-py", [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"],
                         "batches.meta", "label"),
    "CIFAR-100": _Archive(169_001_437, "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
                          "cifar-100-python", ["train"], ["test"], "meta", "fine_label"),
}
_HOSTS = "https://www.cs.toronto.edu/~kriz", "https://dataset.bj.bcebos.com/cifar"  # readers are told the first
_CACHE_SIZE = 60_000 * (32 * 32 * 3 + 8) + 10_000  # bytes of either cache: images, labels and a little more
_TIMEOUT, _TRIES, _PAUSE, _PIECE = 30, 5, 1, 100_000  # s of silence; connections; s between; bytes at once
_DISK = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}  # errors that are not the network's
_ROOT = Path(__file__).resolve().parents[2]
_ARRAYS = "train_images", "train_labels", "test_images", "test_labels"


class Images(NamedTuple):
    """N training and M test images of H by W pixels, with their classes."""
    train_images: Any  # uint8 array of shape (N, H, W, 3): red, green and blue, from 0 to 255
    train_labels: Any  # int64 array of shape (N,): indices into classes
    test_images: Any   # uint8 (M, H, W, 3)
    test_labels: Any   # int64 (M,)
    classes: tuple     # C names
    source: str        # where the images come from

    def first(self, n_train, n_test):
        """The first n_train training images and n_test test images, with their labels."""
        return self._replace(train_images=self.train_images[:n_train], train_labels=self.train_labels[:n_train],
                             test_images=self.test_images[:n_test], test_labels=self.test_labels[:n_test])


class DataUnavailable(OSError):
    """A data set is not on this computer and could not be got: the message says why, and what to do."""


def cifar10(download=True):
    """CIFAR-10 as `Images`: 50,000 + 10,000 photographs of 32 x 32 pixels in 10 classes, "airplane" to "truck".

    They are in the archive's order (data_batch_1 to data_batch_5; test_batch), in which the classes are mixed. The
    first call downloads 170 MB and keeps 185 MB for the later ones: in the folder that the environment variable
    MICRO_DATA names, else in the course's data/.cache, else (micro from pip) in a cache folder in your home. If it
    is cut, the next call goes on where it stopped. You may also put the archive into that folder by hand.

    Raises DataUnavailable (an OSError) if the images cannot be got or kept, and with download=False FileNotFoundError
    if they are not there whole. Source: Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images,
    https://www.cs.toronto.edu/~kriz/learning-features-2009-TR.pdf
    """
    return _load("CIFAR-10", download)


def cifar100(download=True):
    """CIFAR-100 as `Images`: like CIFAR-10, errors and source too, in 100 (fine) classes, "apple" to "worm"."""
    return _load("CIFAR-100", download)


def load_images(path, source):
    """The `Images` in an .npz file with the arrays train_images, train_labels, test_images and test_labels.

    Images are uint8 of shape (N, H, W, 3), H and W the same for both; labels whole numbers from 0 to C - 1, of
    shape (N,). An array `classes` of C strings names the classes; without it they are "0", "1" and so on.
    Raises FileNotFoundError if there is no such file, and ValueError if its content is not of that form.

    >>> import numpy as np, tempfile
    >>> two = {"train_images": np.zeros((2, 8, 8, 3), np.uint8), "train_labels": [0, 1]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/mine.npz", **two, test_images=two["train_images"], test_labels=[1, 1])
    ...     load_images(f"{folder}/mine.npz", "my camera").classes
    ('0', '1')
    """
    import numpy as np  # here, so that `import micro.data` needs the standard library only
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as npz:
                arrays = {name: npz[name] for name in (*_ARRAYS, "classes") if name in npz.files}
        except Exception as error:  # a damaged file can raise nearly anything
            raise ValueError(f"{path} is damaged, or not an .npz file of plain arrays ({error}).") from None

    def demand(name, right, form):
        if not right:
            found = f"is {arrays[name].dtype} of shape {arrays[name].shape}" if name in arrays else "is missing"
            raise ValueError(f"{path}: the array {name!r} must be {form}; it {found}.")

    names = arrays.get("classes", np.arange(10_000).astype(str))
    demand("classes", names.ndim == 1 and names.dtype.kind == "U", "strings of shape (C,)")
    for part in "train", "test":
        x, y = arrays.get(f"{part}_images"), arrays.get(f"{part}_labels")
        demand(f"{part}_images", x is not None and x.dtype == np.uint8 and x.ndim == 4 and x.size
               and x.shape[1:] == (*arrays["train_images"].shape[1:3], 3),
               "uint8 of shape (N, H, W, 3), not empty, with the same H and W for both")
        demand(f"{part}_labels", y is not None and y.dtype.kind in "iu" and y.shape == x.shape[:1]
               and 0 <= y.min() <= y.max() < len(names),
               f"whole numbers from 0 to {len(names) - 1}, of shape ({len(x)},) as there are {len(x)} images")
        arrays[f"{part}_labels"] = y.astype(np.int64)
    used = len(names) if "classes" in arrays else 1 + max(arrays[name].max() for name in _ARRAYS[1::2])
    return Images(*(arrays[name] for name in _ARRAYS), tuple(names[:used].tolist()), source)


def _load(source, download):
    """The images from the cache, or else from the archive, which one process at a time may fetch."""
    home = os.environ.get("LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = _ROOT / "data" / ".cache" if (_ROOT / "data" / "names.txt").is_file() else Path(home, "micro")
    cache = Path(os.environ.get("MICRO_DATA") or folder).expanduser().absolute() / f"{source.lower()}.npz"
    try:
        return load_images(cache, source)
    except (OSError, ValueError) as error:  # not there; damaged
        if not download:
            raise FileNotFoundError(f"no {source} here ({error}): leave out download=False to fetch it.") from None
    from filelock import FileLock, Timeout
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(cache.with_suffix(".lock"))  # the system frees it if this process is killed
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            print(f"Another process is fetching {source}; this one waits for it.", file=sys.stderr)
            held = lock.acquire()
        with held:
            with contextlib.suppress(FileNotFoundError):
                return _load(source, download=False)  # meanwhile another process may have made it
            return _make(cache, source, _ARCHIVES[source])
    except DataUnavailable:
        raise
    except OSError as error:
        raise DataUnavailable(f"{source} cannot be kept in {cache.parent} ({error.strerror or error}): make it writable"
                              " and make room, or set the environment variable MICRO_DATA to another.") from None


def _make(cache, source, archive):
    """The images from the archive (put there by hand, or fetched now), after they were written to the cache."""
    import numpy as np
    whole = cache.with_name(f"{source.lower()}-python.tar.gz")
    part = whole.with_name(f"{whole.name}.part")
    part.touch()
    get = 0 if whole.exists() else max(0, archive.size - part.stat().st_size)
    need, free = get + _CACHE_SIZE, shutil.disk_usage(cache.parent).free
    if free < need:
        raise DataUnavailable(f"{source} needs {need / 1e6:.0f} MB in {cache.parent} ({get / 1e6:.0f} to download) and "
                              f"{free / 1e6:.0f} MB are free: make room, or set MICRO_DATA to another folder.")
    images = _unpack(whole, source, archive) if whole.exists() else _download(whole, part, source, archive)
    if not images:
        raise DataUnavailable(f"{whole} is not the file at {_HOSTS[0]}/{whole.name} (its size or sha256 is wrong): put "
                              "that one in its place, or remove it to have it downloaded.")
    with whole_file(cache) as file:  # on the disk, before the archive goes
        np.savez(file, **dict(zip(_ARRAYS, images)), classes=images.classes)
    part.unlink()
    return images


def _download(whole, part, source, archive):
    """The images from the first host that sends the right archive. What has come of it is in the file `part`."""
    failures = []
    for host in "", *_HOSTS:  # "": the file may be complete already, by a call that was stopped then
        why = host and _fetch(f"{host}/{whole.name}", part, source, archive.size)
        if part.stat().st_size >= archive.size:
            if images := _unpack(part, source, archive):
                return images
            part.write_bytes(b"")  # the next host starts from nothing
            why = "what came is not the archive (wrong size or sha256)"
        failures += [f"{host.split('/')[2]}: {why}"] if host else []
    raise DataUnavailable(
        f"{source} could not be downloaded ({'; '.join(failures)}). Ways out:\n1. Run this again: it goes on where it "
        f"stopped, at {part.stat().st_size / 1e6:.0f} of {archive.size / 1e6:.0f} MB.\n2. Get {_HOSTS[0]}/{whole.name} "
        f"with a browser and put it at {whole}\n3. Set the environment variable MICRO_DATA to a folder that has it.")


def _fetch(url, part, source, size):
    """Complete the file `part` from `url`, in several connections if they break. Returns what went wrong."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen
    most, why = -1, ""
    for attempt in range(_TRIES):
        if not most < (have := part.stat().st_size) < size:  # complete; or the last connection brought nothing new
            break
        time.sleep(_PAUSE if attempt else 0)
        most, why = have, "the connection was cut"
        headers = {"User-Agent": "micro (a course)"} | ({"Range": f"bytes={have}-"} if have else {})
        try:
            with urlopen(Request(url, headers=headers), timeout=_TIMEOUT) as answer:
                if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                    raise HTTPError(url, 416, "it sends other bytes than those asked for", answer.headers, None)
                have = have if answer.status == 206 else 0  # 200: all of it comes, so start anew
                if "html" in answer.headers.get("Content-Type", "") or answer.length not in (None, size - have):
                    return "a web page came (to log in?), or a file of the wrong size"
                pieces = islice(iter(partial(answer.read, _PIECE), b""), size // _PIECE + 1)  # however much it sends
                with open(part, "ab" if have else "wb") as file:
                    for piece in progress(pieces, f"downloading {source}, in 100 kB", (size - have) // _PIECE):
                        file.write(piece)
                        file.flush()  # what came is kept, whatever happens next (Python 3.14 buffers 128 kB)
        except (OSError, HTTPException) as error:
            if getattr(error, "errno", None) in _DISK:
                raise
            why = str(error).strip("<>")
            if getattr(error, "code", None) == 416:  # it has no such bytes: ours are no beginning of its file
                part.write_bytes(b"")
                most = -1
    return why


def _unpack(path, source, archive):
    """The images in an archive; None if it is not the right one. Nothing is unpickled before that is known."""
    import numpy as np
    known = {"numpy ndarray": np.ndarray, "numpy dtype": np.dtype, "_codecs encode": codecs.encode}
    known |= {f"numpy.{core}.multiarray _reconstruct": np.empty(0).__reduce__()[0] for core in ("core", "_core")}
    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):  # a pickle may name any function to be called: here, those for arrays
            if f"{module} {name}" not in known:
                raise pickle.UnpicklingError(f"{path} names {module}.{name}, which makes no array.")
            return known[f"{module} {name}"]

    with open(path, "rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != archive.sha256 or file.tell() != archive.size:
            return None
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:gz") as tar:  # in its own order: to go back is to start anew
            wanted = {f"{archive.folder}/{name}" for name in (*archive.train, *archive.test, archive.meta)}
            found = {member.name.split("/")[1]: Unpickler(tar.extractfile(member), encoding="bytes").load()
                     for member in tar if member.name in wanted}
    arrays, key = [], archive.label.encode()
    for members in archive.train, archive.test:
        planes = np.concatenate([found[name][b"data"] for name in members]).reshape(-1, 3, 32, 32)  # red first
        labels = np.concatenate([found[name][key + b"s"] for name in members]).astype(np.int64)
        arrays += [np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels]
    return Images(*arrays, tuple(name.decode() for name in found[archive.meta][key + b"_names"]), source)
