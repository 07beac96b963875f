"""micro.data: the texts, points and examples; photographs that are downloaded; drawn shapes."""
import collections
import errno
import hashlib
import http.server
import io
import json
import math
import os
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import filelock
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from micro import data, files
from micro.data import Images, cifar, drawn, recorded, texts
from micro.data.drawn import SHAPES, _insides

ROOT = Path(__file__).resolve().parent.parent


def refuses(error, call, *parts):
    """call() raises `error`, in one line that has these parts."""
    with pytest.raises(error) as caught:
        call()
    said = str(caught.value)
    assert "\n" not in said and all(str(part) in said for part in parts), (said, parts)


def python(code, **environment):
    """What a Python of its own prints."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, env=os.environ | environment,
                          capture_output=True, text=True, check=True)
    return done.stdout.strip()


# -- the texts -----------------------------------------------------------------------------------------


def test_names_are_the_names_of_2018():
    words = data.names()
    assert len(words) == 32_257 and len(set(words)) == 29_693
    assert set("".join(words)) == set("abcdefghijklmnopqrstuvwxyz")
    assert {len(w) for w in words} == set(range(2, 16))
    assert words[:3] == ["emma", "olivia", "ava"] and words[-1] == "zzyzx"
    assert words.index("liam") > words.index("aaliyah"), "girls come first"


def test_shakespeare_is_nine_plays_in_63_characters():
    text = data.shakespeare()
    assert len(text) == 1_182_959 and len(set(text)) == 63
    assert "".join(sorted(set(text))) == "\n !&',-.:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert text.startswith("FIRST CITIZEN:\nBefore we proceed any further, hear me speak.\n\n")
    for speaker in ("CORIOLANUS", "RICHARD", "ROMEO", "LEONTES", "ANGELO", "PETRUCHIO", "PROSPERO"):
        assert f"\n\n{speaker}:\n" in text or f"\n\n{speaker} " in text, speaker


READERS = pytest.mark.parametrize("filename, read", [("names.txt", data.names), ("shakespeare.txt", data.shakespeare)])


@READERS
def test_the_readme_states_each_files_true_hash_and_size(filename, read):
    raw = (ROOT / "data" / filename).read_bytes().replace(b"\r\n", b"\n")
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    row = next(line for line in readme.splitlines() if line.startswith(f"| `{filename}`"))
    assert hashlib.sha256(raw).hexdigest() in row and f"{len(raw):,} bytes" in row


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Two empty places to look in, like a repository's data/ and a wheel's micro/_data/."""
    assert texts.PLACES == (ROOT / "data", ROOT / "micro" / "_data")
    places = tmp_path / "data", tmp_path / "micro" / "_data"
    for place in places:
        place.mkdir(parents=True)
    monkeypatch.setattr(texts, "PLACES", places)
    return places


@READERS
@pytest.mark.parametrize("place", [0, 1])
def test_windows_line_ends_make_no_difference_in_either_place(filename, read, place, elsewhere):
    raw = (ROOT / "data" / filename).read_bytes().replace(b"\r\n", b"\n")
    (elsewhere[place] / filename).write_bytes(raw.replace(b"\n", b"\r\n"))
    assert read() == (raw.decode().split("\n")[:-1] if filename == "names.txt" else raw.decode())


@READERS
def test_a_missing_or_altered_file_is_named_with_the_way_out(filename, read, elsewhere):
    refuses(FileNotFoundError, read, elsewhere[0] / filename, "missing", f"git checkout -- data/{filename}")
    raw = (ROOT / "data" / filename).read_bytes()
    (elsewhere[0] / filename).write_bytes(raw[:-2] + b"!\n")
    refuses(ValueError, read, elsewhere[0] / filename, "altered", f"git checkout -- data/{filename}")


def test_reading_the_texts_needs_nothing_but_python():
    assert python("import sys, micro.data as d; d.names(); d.shakespeare(); print('numpy' in sys.modules)") == "False"


# -- the next letter -----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("abcxyz", max_size=7), min_size=1, max_size=6), st.integers(1, 5))
def test_next_letter_examples_are_windows_over_the_padded_words(words, k):
    X, Y = data.next_letter_examples(words, k)
    windows = [("." * k + word + ".")[i:i + k + 1] for word in words for i in range(len(word) + 1)]
    ids = [[".abcdefghijklmnopqrstuvwxyz".index(c) for c in window] for window in windows]
    assert X.tolist() == [row[:-1] for row in ids] and Y.tolist() == [row[-1] for row in ids]
    assert str(X.dtype) == str(Y.dtype) == "torch.int64"


@pytest.mark.parametrize("word", ["Emma", "zoë", "mary ann", "o'neil"])
def test_next_letter_examples_knows_no_letters_outside_a_to_z(word):
    with pytest.raises(KeyError):
        data.next_letter_examples(["emma", word])


def test_micro_data_says_which_names_it_has():
    with pytest.raises(AttributeError, match="'nmaes'.*names"):
        data.nmaes  # noqa: B018


# -- the moons -----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 300), seed=st.integers(0, 2**32 - 1))
def test_moons_without_noise_lie_on_their_half_circles(n, seed):
    X, y = data.moons(n, noise=0, seed=seed)
    assert X.shape == (n, 2) and X.dtype == np.float64 and y.shape == (n,) and y.dtype == np.int64
    assert (y == 0).sum() == n // 2 and (y == 1).sum() == n - n // 2
    # Undo the formulas: the outer moon is the upper half of a unit circle round (0, 0), the inner one the
    # lower half of one round (1, 0.5). The angles must be evenly spaced from 0 to pi.
    for points, centre, up in ((X[y == 0], (0, 0), 1), (X[y == 1], (1, 0.5), -1)):
        offset = points - centre
        np.testing.assert_allclose(np.hypot(*offset.T), 1, atol=1e-5)
        assert (up * offset[:, 1] >= -1e-6).all()
        angle = np.sort(np.arctan2(np.abs(offset[:, 1]), up * offset[:, 0]))
        even = [math.pi * k / (len(points) - 1) for k in range(len(points))] if len(points) > 1 else [0]
        np.testing.assert_allclose(angle, even, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 200), noise=st.floats(0, 10), seed=st.integers(0, 2**32 - 1))
def test_the_same_seed_gives_the_same_points_with_six_decimals(n, noise, seed):
    X, y = data.moons(n, noise, seed)
    again, y_again = data.moons(n, noise, seed)
    assert X.tobytes() == again.tobytes() and y.tobytes() == y_again.tobytes()
    assert (X == np.round(X, 6)).all() and not np.signbit(X[X == 0]).any()


def test_moons_are_these_points_on_every_machine():
    """A digest of the points: if it changes, so do the stored outputs of every notebook that uses them."""
    X, y = data.moons(100, 0.1, 0)
    text = ";".join(f"{a:.6f},{b:.6f},{c}" for (a, b), c in zip(X, y))
    digest = "6c7d71f535a026f7cf4fd76f7c3828d6387c3b065af52ed889ac6d0d9f72530d"
    assert hashlib.sha256(text.encode()).hexdigest() == digest
    assert 25 < np.abs(np.diff(y)).sum() < 75, "classes must alternate like coin flips"
    assert (X != data.moons(seed=1)[0]).any()


def test_noise_is_gaussian_with_the_stated_deviation():
    X, y = data.moons(20_000, noise=0.1, seed=3)
    # Across the circle the noise moves the radius: the spread of the radius is the noise, to second order.
    spread = [np.hypot(*(X[y == k] - centre).T).std() for k, centre in enumerate([(0, 0), (1, 0.5)])]
    np.testing.assert_allclose(spread, 0.1, rtol=0.03)


@pytest.mark.parametrize("name, values", [
    ("n", [1, 2.5, "10", True]), ("noise", [-0.1, math.nan, math.inf, None, False]), ("seed", [-1, 2**32, 0.5, True])])
def test_moons_names_bad_arguments(name, values):
    for value in values:
        refuses(ValueError, lambda value=value: data.moons(**{name: value}), f"moons needs {name}", repr(value))
    assert data.moons(np.int64(4), np.float32(0.5), np.uint8(7))[0].shape == (4, 2), "NumPy's numbers are welcome"


# -- what was recorded ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted((ROOT / "data" / "results").glob("*.json")), ids=lambda path: path.stem)
def test_every_result_says_what_it_is_and_how_it_was_made(path):
    assert {"what", "made_by", "date", "device"} <= data.results(path.stem).keys()
    assert str(ROOT) not in path.read_text(encoding="utf-8")


def test_an_unknown_result_names_those_that_there_are():
    refuses(FileNotFoundError, lambda: data.results("emgine"), "'emgine'", "'engine'")


def saying(answer):
    def function(*args, **kwargs):
        if isinstance(answer, Exception):
            raise answer
        return answer
    return function


@pytest.mark.parametrize("system, cpuinfo, sysctl, processor, expected", [
    ("Linux", "flags\t: fpu\nmodel name\t: Some CPU @ 3 GHz\nmodel name\t: another", None, "", "Some CPU @ 3 GHz"),
    ("Linux", "Hardware : a board", None, "its processor", "its machine"), ("Linux", OSError(), None, "p", "p"),
    ("Darwin", None, SimpleNamespace(stdout="Apple M9\n"), "arm", "Apple M9"),
    ("Darwin", None, OSError(), "arm", "arm"), ("Windows", None, None, "Some CPU", "Some CPU"),
    ("Plan 9", None, None, "", "its machine"),
])
def test_the_processor_is_named_as_its_system_names_it(system, cpuinfo, sysctl, processor, expected, monkeypatch):
    for name, answer in (("system", system), ("machine", "its machine"), ("processor", processor)):
        monkeypatch.setattr(recorded.platform, name, saying(answer))
    monkeypatch.setattr(recorded, "Path", saying(SimpleNamespace(read_text=saying(cpuinfo))))
    monkeypatch.setattr(recorded.subprocess, "run", saying(sysctl))
    assert recorded.processor.__wrapped__() == expected  # without its cache


# === photographs: the archives ========================================================================

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
RNG = np.random.RandomState(0)  # noise, so that gzip cannot make it smaller
BATCHES = [(RNG.randint(0, 256, (2, 3072)).astype(np.uint8), RNG.randint(0, 10, 2).tolist()) for _ in range(6)]


class Python2(pickle._Pickler):
    """Writes texts as Python 2 did."""

    def string(self, x):
        x = x.encode() if isinstance(x, str) else x
        self.write(pickle.BINSTRING + struct.pack("<i", len(x)) + x)

    dispatch = pickle._Pickler.dispatch | {bytes: string, str: string}


def dump2(x):
    """x as Python 2 with NumPy 1 pickled it, which is what the true archives have."""
    Python2(out := io.BytesIO(), 2).dump(x)
    return out.getvalue().replace(b"numpy._core", b"numpy.core")


def tar(members):
    """A .tar.gz, with its members in a mixed order, as in the true one."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in sorted(members, key=lambda name: hashlib.md5(name.encode()).digest()):
            info = tarfile.TarInfo(name)
            info.size = len(members[name])
            archive.addfile(info, io.BytesIO(members[name]))
    return out.getvalue()


def members10(dump=dump2):
    batches = [dump({b"batch_label": b"one", b"labels": y, b"data": x, b"filenames": [b"a", b"b"]}) for x, y in BATCHES]
    meta = dump({b"num_vis": 200, b"label_names": [c.encode() for c in CLASSES]})
    names = "test_batch", "batches.meta", "readme.html", *[f"data_batch_{i}" for i in range(1, 6)]
    return {f"cifar-10-batches-py/{name}": x for name, x in zip(names, (batches[5], meta, b"<html>", *batches))}


def members100():
    def part(x, y):
        return dump2({b"data": x, b"fine_labels": y, b"coarse_labels": [0, 0], b"filenames": [b"a", b"b"]})

    names = [f"class {i}".encode() for i in range(100)]
    return {"cifar-100-python/train": part(*BATCHES[0]), "cifar-100-python/test": part(*BATCHES[1]),
            "cifar-100-python/meta": dump2({b"fine_label_names": names, b"coarse_label_names": [b"x"]})}


ARCHIVE = tar(members10())


# -- the servers ---------------------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
    """Sends `body`. `plan` says how, one entry for each request, the last one for all that follow."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.plan, self.ranges, self.sent, self.other = ARCHIVE, ["ok"], [], 0, ""
        self.go_on = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request, client_address):
        """Clients go away in these tests."""


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_GET(self):
        server, body = self.server, self.server.body
        how = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
        how, _, count = str(how).partition(" ")
        asked = self.headers["Range"]
        server.ranges.append(int(asked.removeprefix("bytes=").removesuffix("-")) if asked else None)
        start = 0 if how == "ignore" else server.ranges[-1] or 0
        if how == "silent":
            server.go_on.wait(10)
        elif how.isdigit() or start >= len(body):
            self.send_error(int(how) if how.isdigit() else 416)
        elif how == "away":
            self.send_response(302)
            self.send_header("Location", server.other + self.path)
            self.end_headers()
        elif how == "html":
            self.answer(200, b"<html>Please log in</html>", kind="text/html", length=None)
        elif how == "disguised":  # the login page, called a file
            self.answer(200, b"<html>Please log in</html>")
        elif how == "endless":
            self.answer(200, body + b"more" * 100_000, length=None)
        elif how == "wrong":
            self.answer(206 if start else 200, bytes(len(body) - start), start)
        elif how == "shifted":
            self.answer(206, body[start + 7:], start + 7)
        else:
            here = body[start:]
            cut = int(count or len(here))
            stay = how in ("gate", "stall")
            self.answer(206 if start else 200, here[:cut], start, len(here), stay=stay, rest=here[cut:])

    def answer(self, status, content, start=0, length=0, kind="application/x-gzip", stay=False, rest=b""):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length or len(content)))
        if status == 206:
            end = len(self.server.body)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        self.end_headers()
        self.wfile.write(content)
        self.server.sent += len(content)
        if stay:  # the connection stays open, and nothing comes before the test says so
            self.wfile.flush()
            self.server.go_on.wait(10)
            self.wfile.write(rest)
            self.server.sent += len(rest)


@pytest.fixture
def servers(monkeypatch, tmp_path):
    """Toronto and Baidu, both in order, and an empty folder."""
    both = Server(), Server()
    for name, value in {"_HOSTS": tuple(server.url for server in both), "_TIMEOUT": 5, "_PAUSE": 0, "_PIECE": 1000,
                        "_CACHE_SIZE": 10**6}.items():
        monkeypatch.setattr(cifar, name, value)
    monkeypatch.setenv("MICRO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "*")
    say("CIFAR-10", ARCHIVE, monkeypatch)
    yield both
    for server in both:
        server.go_on.set()
        server.shutdown()
        server.server_close()


def say(source, body, monkeypatch):
    """Let `body` be the true archive."""
    true = cifar._ARCHIVES[source]._replace(size=len(body), sha256=hashlib.sha256(body).hexdigest())
    monkeypatch.setitem(cifar._ARCHIVES, source, true)


def folder():
    return Path(os.environ["MICRO_DATA"])


def part(content=None):
    """Where the first part of a download lies; with this content, if it is given."""
    path = folder() / "cifar-10-python.tar.gz.part"
    if content is not None:
        folder().mkdir()
        path.write_bytes(content)
    return path


def is_right(got):
    assert type(got) is Images and got.source == "CIFAR-10" and got.classes == tuple(CLASSES)
    for x, y, batches in ((got.train_images, got.train_labels, BATCHES[:5]),
                          (got.test_images, got.test_labels, BATCHES[5:])):
        assert x.dtype == np.uint8 and x.shape == (2 * len(batches), 32, 32, 3) and x.flags.c_contiguous
        assert y.dtype == np.int64 and y.tolist() == sum((labels for _, labels in batches), [])
        for i, row, column, channel in np.ndindex(len(x), 5, 32, 3):  # 1,024 red values, row by row; green; blue
            assert x[i, row, column, channel] == batches[i // 2][0][i % 2][1024 * channel + 32 * row + column]


def is_kept():
    """Only the cache stays, and the lock's empty file."""
    assert {f.name for f in folder().iterdir()} - {"cifar-10.lock"} == {"cifar-10.npz"}


# -- what should happen --------------------------------------------------------------------------------


@pytest.mark.parametrize("dump", [dump2, lambda x: pickle.dumps(x, 2), lambda x: pickle.dumps(x, 4)])
def test_the_first_call_downloads_and_later_ones_read_the_cache(servers, dump, monkeypatch):
    body = tar(members10(dump))
    servers[0].body = body
    say("CIFAR-10", body, monkeypatch)
    is_right(data.cifar10())
    is_kept()
    assert servers[0].ranges == [None] and servers[1].ranges == [] and servers[0].sent == len(body)
    monkeypatch.setattr(cifar, "_make", None)
    is_right(data.cifar10())
    is_right(data.cifar10(download=False))
    assert len(servers[0].ranges) == 1
    assert (folder() / "cifar-10.npz").stat().st_size > 12 * 3072, "not compressed"


def test_cifar100_has_its_fine_labels_and_names(servers, monkeypatch):
    servers[0].body = tar(members100())
    say("CIFAR-100", servers[0].body, monkeypatch)
    for _ in "made", "read":
        got = data.cifar100()
        assert got.classes == tuple(f"class {i}" for i in range(100)) and got.source == "CIFAR-100"
        assert got.train_labels.tolist() == BATCHES[0][1] and got.test_labels.tolist() == BATCHES[1][1]
        assert (got.test_images == BATCHES[1][0].reshape(2, 3, 32, 32).transpose(0, 2, 3, 1)).all()


def test_the_table_is_of_the_true_archives():
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for source, size in (("CIFAR-10", 170_498_071), ("CIFAR-100", 169_001_437)):
        archive = cifar._ARCHIVES[source]
        assert archive.size == size and f"{size:,} bytes" in readme and archive.sha256 in readme
    assert all(host.startswith("https://") and host in readme for host in cifar._HOSTS)


@pytest.mark.parametrize("environment, where", [
    ({"MICRO_DATA": "~/here"}, "home/here"), ({"MICRO_DATA": "", "XDG_CACHE_HOME": ""}, "home/.cache/micro"),
    ({"MICRO_DATA": "", "XDG_CACHE_HOME": "/x"}, "/x/micro"), ({"MICRO_DATA": "", "LIES": "IN"}, "root/data/.cache"),
])
@pytest.mark.skipif(os.name == "nt", reason="folders of Windows")
def test_where_it_is_kept(environment, where, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar, "_ROOT", tmp_path / "root")
    for name, value in {"HOME": str(tmp_path / "home"), **environment}.items():
        monkeypatch.setenv(name, value)
    if "LIES" in environment:  # micro is in a repository
        (tmp_path / "root" / "data").mkdir(parents=True)
        (tmp_path / "root" / "data" / "names.txt").touch()
    refuses(FileNotFoundError, lambda: data.cifar10(download=False), "CIFAR-10", tmp_path / where / "cifar-10.npz",
            "leave out download=False")
    assert not list(tmp_path.rglob("cifar*")) and not (tmp_path / "home").exists(), "nothing was touched"


def test_an_archive_that_was_put_there_by_hand_is_used_and_stays(servers):
    folder().mkdir()
    by_hand = folder() / "cifar-10-python.tar.gz"
    for wrong in ARCHIVE[:-1], ARCHIVE[:-1] + b"!", b"":
        by_hand.write_bytes(wrong)
        refuses(data.DataUnavailable, data.cifar10, by_hand, f"{servers[0].url}/cifar-10-python.tar.gz", "remove it")
        assert by_hand.read_bytes() == wrong
    by_hand.write_bytes(ARCHIVE)
    is_right(data.cifar10())
    assert by_hand.read_bytes() == ARCHIVE and servers[0].ranges == servers[1].ranges == []


# -- bad connections -----------------------------------------------------------------------------------


def never(*args, **kwargs):
    raise AssertionError("an unchecked archive was opened")


@pytest.mark.parametrize("plan, there, first, second", [
    # what the first host does, what lies there, and the bytes that the two hosts are asked to begin with
    (["cut 9000", "cut 5000", "ok"], b"", [None, 9000, 14000], []),
    (["cut 9000", "cut 0", "ok"], b"", [None, 9000], [9000]),                   # the next host goes on
    (["cut 9000", "ignore"], b"", [None, 9000], []),                            # it knows no ranges: all of it anew
    (["cut 9000", "shifted", "ok"], b"", [None, 9000, None], []),               # other bytes than those asked for
    (["cut 9000", "416", "ok"], b"", [None, 9000, None], []),
    (["cut 9000", "away"], b"", [None, 9000], [9000]),                          # a redirection takes the range along
    *[([fault], ARCHIVE[:8000], [8000], [8000]) for fault in ("404", "500", "503", "html", "disguised", "cut 0")],
    (["stall 9000", "silent"], b"", [None, 9000], [9000]),
    (["silent"], b"", [None], [None]),
    (["wrong"], b"", [None], [None]),                                           # the second starts from nothing
    (["endless"], b"", [None], [None]),
    *[(["ok"], no_part, [None], []) for no_part in (ARCHIVE[:-1] + b"!", ARCHIVE + b"!", bytes(2 * len(ARCHIVE)))],
    (["ok"], bytes(8000), [8000], [None]),                                      # its beginning is wrong
    (["never"], ARCHIVE, [], []),                                               # it is whole: no server is needed
], ids=lambda value: "+".join(map(str, value)) if isinstance(value, list) else f"{len(value)} bytes")
def test_whatever_the_first_host_does_the_images_come(plan, there, first, second, servers, monkeypatch):
    written = []
    monkeypatch.setattr(cifar, "progress", lambda pieces, *_: (written.append(len(p)) or p for p in pieces))
    monkeypatch.setattr(cifar, "_TIMEOUT", 0.3 if "silent" in plan else 5)
    servers[0].plan, servers[0].other = plan, servers[1].url
    part(there)
    start = time.perf_counter()
    is_right(data.cifar10())
    assert time.perf_counter() - start < 5, "a server that falls silent is left"
    is_kept()
    assert servers[0].ranges == first and servers[1].ranges == second
    assert sum(written) <= 2 * len(ARCHIVE) + 1000, "much more than an archive was written"


def test_connections_that_always_break_are_given_up(servers):
    for server in servers:
        server.plan = ["cut 1000"]
    with pytest.raises(data.DataUnavailable, match="the connection was cut"):
        data.cifar10()
    assert len(servers[0].ranges) == len(servers[1].ranges) == cifar._TRIES
    assert part().read_bytes() == ARCHIVE[:2 * 1000 * cifar._TRIES], "it is kept for the next call"
    servers[0].plan = ["ok"]
    is_right(data.cifar10())
    assert servers[0].sent + servers[1].sent == len(ARCHIVE)


def test_no_network(servers, monkeypatch):
    part(ARCHIVE[:8000])
    gone = Server()
    gone.shutdown()
    gone.server_close()  # so nobody listens at its port
    monkeypatch.setattr(cifar, "_HOSTS", (gone.url, gone.url))
    for _ in range(2):
        with pytest.raises(data.DataUnavailable) as caught:
            data.cifar10()
    why, again, by_hand, elsewhere = str(caught.value).split("\n")  # and three ways out
    assert why.count("efused") == why.count(gone.url[7:]) == 2 and "goes on where it stopped" in again
    assert f"{gone.url}/cifar-10-python.tar.gz" in by_hand and str(folder() / "cifar-10-python.tar.gz") in by_hand
    assert "MICRO_DATA" in elsewhere and part().read_bytes() == ARCHIVE[:8000]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert isinstance(caught.value, OSError)


# -- the wrong file ------------------------------------------------------------------------------------


class Evil:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def evil_archive(path):
    return tar(members10() | {"cifar-10-batches-py/data_batch_1": pickle.dumps({b"data": Evil(path)}, 2)})


@pytest.mark.parametrize("fault", ["wrong", "endless", "html", "disguised", "evil"])
def test_what_is_not_the_archive_is_never_opened(fault, servers, tmp_path, monkeypatch):
    for server in servers:
        server.plan = [fault]
        if fault == "evil":  # the size is right, so only the hash can tell
            server.body = evil_archive(tmp_path / "ran")
            true = cifar._ARCHIVES["CIFAR-10"]._replace(size=len(server.body))
            monkeypatch.setitem(cifar._ARCHIVES, "CIFAR-10", true)
    monkeypatch.setattr(cifar.tarfile, "open", never)
    with pytest.raises(data.DataUnavailable) as caught:
        data.cifar10()
    assert str(caught.value).count("web page" if fault in ("html", "disguised") else "wrong size or sha256") == 2
    assert not part().exists() or part().stat().st_size == 0
    assert not (tmp_path / "ran").exists()


def test_an_evil_pickle_with_the_right_hash_does_not_run(servers, tmp_path, monkeypatch):
    servers[0].body = evil_archive(tmp_path / "ran")
    say("CIFAR-10", servers[0].body, monkeypatch)
    with pytest.raises(pickle.UnpicklingError, match=r"names \w+\.open, which makes no array"):
        data.cifar10()
    assert not (tmp_path / "ran").exists() and not (folder() / "cifar-10.npz").exists()


# -- the disk ------------------------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_told_before_the_download(servers, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 120_000_000))
    monkeypatch.setitem(cifar._ARCHIVES, "CIFAR-10", cifar._ARCHIVES["CIFAR-10"]._replace(size=170_498_071))
    monkeypatch.setattr(cifar, "_CACHE_SIZE", 184_800_000)
    refuses(data.DataUnavailable, data.cifar10, folder(), "355 MB", "170", "120 MB are free", "MICRO_DATA")
    assert servers[0].ranges == []


class Full(io.FileIO):
    room = 10_000

    def write(self, content):
        if self.tell() + len(content) > self.room:
            raise OSError(self.error, os.strerror(self.error))
        return super().write(content)


@pytest.mark.parametrize("error", {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
@pytest.mark.parametrize("what", ["archive", "cache"])
def test_a_disk_that_runs_full(error, what, servers, monkeypatch):
    def nearly_full(path, mode):
        is_it = (".tar.gz" if what == "archive" else ".npz.") in str(path) and mode != "rb"
        return io.BufferedWriter(Full(path, mode)) if is_it else open(path, mode)

    for module in (cifar, files):
        monkeypatch.setattr(module, "open", nearly_full, raising=False)
    monkeypatch.setattr(Full, "error", error, raising=False)
    refuses(data.DataUnavailable, data.cifar10, folder(), os.strerror(error), "MICRO_DATA")
    assert {f.name for f in folder().iterdir()} - {"cifar-10.lock"} == {part().name}, "the download stays, nothing else"
    have = part().stat().st_size
    assert 0 < have <= 10_000 if what == "archive" else have == len(ARCHIVE)
    for module in (cifar, files):
        monkeypatch.delattr(module, "open")
    is_right(data.cifar10())
    assert servers[0].ranges == ([None, have] if what == "archive" else [None]) and servers[1].ranges == []


def test_a_folder_that_cannot_be_made(servers, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MICRO_DATA", str(tmp_path / "file" / "below"))
    refuses(data.DataUnavailable, data.cifar10, tmp_path / "file" / "below", "MICRO_DATA")
    refuses(FileNotFoundError, lambda: data.cifar10(download=False), tmp_path / "file" / "below")


@pytest.mark.skipif(os.name == "nt", reason="Windows does not know folders that cannot be written")
def test_a_folder_that_cannot_be_written(servers, monkeypatch):
    with tempfile.TemporaryDirectory() as where:  # not tmp_path: that is closed to others, also for reading
        os.chmod(where, 0o555)
        monkeypatch.setenv("MICRO_DATA", where)
        if os.geteuid() == 0:  # root may write everywhere: be nobody for a moment
            os.seteuid(65534)
        try:
            refuses(data.DataUnavailable, data.cifar10, where, "Permission denied", "MICRO_DATA")
        finally:
            if os.getuid() == 0:
                os.seteuid(0)
    assert servers[0].ranges == []


@pytest.mark.parametrize("damage", [
    lambda raw: raw[:-100], lambda raw: b"", lambda raw: b"no zip file", lambda raw: pickle.dumps([1]),
    lambda raw: raw[:20_000] + bytes([raw[20_000] ^ 1]) + raw[20_001:],  # one bit of one pixel
    lambda raw: raw.replace(b"test_labels", b"TEST_labels"),
    lambda raw: raw.replace(b"(10, 32, 32, 3)", b"(11, 32, 32, 3)"),
])
def test_a_damaged_cache_is_made_anew(damage, servers):
    data.cifar10()
    cache = folder() / "cifar-10.npz"
    raw = cache.read_bytes()
    assert damage(raw) != raw
    cache.write_bytes(damage(raw))
    refuses(FileNotFoundError, lambda: data.cifar10(download=False), cache, "leave out download=False")
    is_right(data.cifar10())
    is_kept()
    assert servers[0].ranges == [None, None] and len(cache.read_bytes()) == len(raw)


# -- several processes ---------------------------------------------------------------------------------


def process(server):
    """A Python of its own that calls cifar10()."""
    archive = cifar._ARCHIVES["CIFAR-10"]
    code = (f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom micro.data import cifar\n"
            f"cifar._HOSTS, cifar._PIECE, cifar._CACHE_SIZE = ({server.url!r},), 1000, 10**6\n"
            f"cifar._ARCHIVES['CIFAR-10'] = cifar._Archive(*{json.dumps(archive)})\n"
            "print(cifar.cifar10().train_images.shape)")
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def until(condition):
    end = time.perf_counter() + 20
    while not condition():
        assert time.perf_counter() < end, "it took too long"
        time.sleep(0.01)


def test_two_processes_download_once(servers):
    servers[0].plan = ["gate 20000"]
    with process(servers[0]) as first:
        until(lambda: servers[0].ranges)
        with process(servers[0]) as second:
            assert "this one waits" in second.stderr.readline()
            servers[0].go_on.set()
            outs = first.communicate(timeout=20), second.communicate(timeout=20)
    assert [out for out, _ in outs] == ["(10, 32, 32, 3)\n"] * 2, outs
    assert servers[0].ranges == [None] and servers[0].sent == len(ARCHIVE)
    is_kept()


def test_a_killed_process_leaves_its_part_and_no_lock(servers):
    servers[0].plan = ["gate 20000", "ok"]
    with process(servers[0]) as first:
        until(lambda: part().exists() and part().stat().st_size > 8000)
        first.kill()
    have = part().stat().st_size
    assert 8000 < have <= 20_000
    is_right(data.cifar10())
    assert servers[0].ranges == [None, have] and servers[1].ranges == []


def test_ctrl_c_leaves_the_part_and_no_lock(servers, monkeypatch):
    def interrupted(pieces, desc, total):
        assert "CIFAR-10" in desc and total == len(ARCHIVE) // 1000
        for _, piece in zip(range(9), pieces):
            yield piece
        raise KeyboardInterrupt

    monkeypatch.setattr(cifar, "progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.cifar10()
    assert part().read_bytes() == ARCHIVE[:9000]
    with filelock.FileLock(folder() / "cifar-10.lock", timeout=0):
        pass


# -- Images and load_images ----------------------------------------------------------------------------

GOOD = {"train_images": np.zeros((4, 6, 5, 3), np.uint8), "train_labels": np.array([0, 1, 2, 1], np.uint8),
        "test_images": np.ones((2, 6, 5, 3), np.uint8), "test_labels": np.array([3, 0])}


@settings(max_examples=30, deadline=None)
@given(*[st.integers(1, 9)] * 4)
def test_the_first_images_keep_their_labels(n, m, n_train, n_test):
    images = Images(np.arange(n), -np.arange(n), 10 + np.arange(m), -10 - np.arange(m), ("a", "b"), "mine")
    x, y, x_test, y_test, *rest = first = images.first(n_train, n_test)
    assert x.tolist() == list(range(n))[:n_train] and x_test.tolist() == list(range(10, 10 + m))[:n_test]
    assert (x == -y).all() and (x_test == -y_test).all() and rest == [("a", "b"), "mine"]
    assert type(first) is Images and len(images.train_images) == n, "the others are still there"


def test_load_images(tmp_path):
    np.savez(tmp_path / "a.npz", **GOOD, more=np.arange(3))
    got = data.load_images(tmp_path / "a.npz", "mine")
    assert got.classes == ("0", "1", "2", "3") and got.source == "mine"
    assert got.train_images.shape == (4, 6, 5, 3) and (got.test_images == 1).all()
    assert got.train_labels.dtype == got.test_labels.dtype == np.int64 and got.train_labels.tolist() == [0, 1, 2, 1]
    np.savez_compressed(tmp_path / "b.npz", **GOOD, classes=["ä", "b", "c", "d", "never"])
    assert data.load_images(str(tmp_path / "b.npz"), "x").classes == ("ä", "b", "c", "d", "never")


@pytest.mark.parametrize("name, values, form", [
    ("train_images", [None, np.zeros((4, 6, 5, 3)), np.zeros((4, 6, 5), np.uint8), np.zeros((4, 3, 6, 5), np.uint8)],
     "uint8 of shape (N, H, W, 3)"),
    ("test_images", [None, *[np.zeros(shape, np.uint8) for shape in ((2, 6, 5, 4), (2, 7, 5, 3), (0, 6, 5, 3))]],
     "uint8 of shape (N, H, W, 3)"),
    ("train_labels", [None, np.zeros(3, int), np.zeros(4), np.zeros((4, 1), int), np.array([0, 1, -1, 2])], "0 to 3"),
    ("test_labels", [None, np.array([0, 4]), np.array([True, False])], "0 to 3"),
    ("classes", [np.arange(4), np.array("abcd")], "strings of shape (C,)"),
], ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_not_of_the_form_is_named(name, values, form, tmp_path):
    path = tmp_path / "mine.npz"
    for value in values:
        arrays = GOOD | {"classes": np.array(list("abcd")), name: value}
        np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
        found = "it is missing" if value is None else f"it is {value.dtype} of shape {value.shape}"
        refuses(ValueError, lambda: data.load_images(path, "mine"), path, repr(name), form, found)


def test_files_that_are_none(tmp_path):
    def load(name):
        return lambda: data.load_images(tmp_path / name, "mine")

    refuses(FileNotFoundError, load("none.npz"), "none.npz")
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.savez(tmp_path / "objects.npz", **GOOD | {"train_labels": np.array([Evil(tmp_path / "ran"), 1, 2, 3], object)})
    (tmp_path / "text.npz").write_text("hello")
    for name in "a.npy", "objects.npz", "text.npz":
        refuses(ValueError, load(name), tmp_path / name, "damaged, or not an .npz file of plain arrays")
    assert not (tmp_path / "ran").exists()
    np.savez(tmp_path / "a.npz", **GOOD | {"test_labels": np.array([0, 2**62])})  # without classes
    refuses(ValueError, load("a.npz"), "'test_labels'", "whole numbers from 0 to 9999")


# === drawn shapes =====================================================================================


def test_shapes_and_types():
    images = drawn(30, 20, seed=1)
    assert isinstance(images, Images) and images.source == "drawn shapes" and images.classes == SHAPES
    assert images.train_images.shape == (30, 32, 32, 3) and images.test_images.shape == (20, 32, 32, 3)
    assert images.train_images.dtype == images.test_images.dtype == np.uint8
    assert images.train_labels.shape == (30,) and images.train_labels.dtype == np.int64
    # Five of each of the ten classes, over both parts.
    assert np.bincount(np.concatenate([images.train_labels, images.test_labels])).tolist() == [5] * 10


@pytest.mark.parametrize(
    "off", ["", "AVX2 FMA3 AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"])
def test_the_same_seed_draws_the_same_pictures_also_without_vector_instructions(off):
    code = ("import hashlib, micro.data\nfor seed in 0, 1:\n    images = micro.data.drawn(60, 20, seed)[:4]\n"
            "    print(hashlib.sha256(b''.join(a.tobytes() for a in images)).hexdigest()[:16])")
    first, second = python(code, NPY_DISABLE_CPU_FEATURES=off).split()
    assert first == "0f4b5166d8ea3d07" != second


def test_each_shape_covers_the_part_of_the_plane_that_it_should():
    """Areas by counting points, against areas by hand (no simple formula: but neither empty nor everything)."""
    at = np.linspace(-1.2, 1.2, 601)
    by_hand = {"disc": np.pi, "ring": np.pi * (0.97**2 - 0.53**2), "square": 1.6**2, "frame": 1.8**2 - 1.0**2,
               "plus": 4 * 0.3 * (2 * 0.95 - 0.3)}
    for shape, inside in zip(SHAPES, _insides(np, *np.meshgrid(at, at)), strict=True):
        area = (inside > 0).mean() * 2.4**2
        assert abs(area - by_hand[shape]) < 0.03 if shape in by_hand else 0.3 < area < 3.3, (shape, area)


def test_pictures_use_the_whole_range_and_are_as_smooth_as_photographs_none_empty_none_twice():
    pictures = drawn(400, 1, seed=3).train_images
    assert pictures.min() < 20 and pictures.max() > 235 and 100 < pictures.mean() < 155
    assert len({p.tobytes() for p in pictures}) == 400
    x = pictures.astype(float)
    assert (x.std(axis=(1, 2)).mean(1) > 10).all()
    x -= x.mean(axis=(1, 2), keepdims=True)
    near = (x[:, :, 1:] * x[:, :, :-1]).mean() / (x**2).mean()
    far = (x[:, :, 16:] * x[:, :, :-16]).mean() / (x**2).mean()
    assert near > 0.75 and far < 0.3


@pytest.mark.parametrize("wrong", [{"n_train": 0}, {"n_train": "many"}, {"n_test": 1.5}, {"seed": -1}, {"seed": True}])
def test_a_wrong_number_is_named(wrong):
    refuses(ValueError, lambda: drawn(**wrong), f"drawn needs {next(iter(wrong))}")
