"""CIFAR without a network: a tiny archive of the true structure, from two servers on this computer with every fault."""

import collections
import errno
import hashlib
import http.server
import io
import json
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

import filelock
import numpy as np
import pytest

from micro import data, images

ROOT = Path(__file__).resolve().parent.parent
CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
RNG = np.random.RandomState(0)  # noise, so that gzip cannot make it smaller
BATCHES = [(RNG.randint(0, 256, (2, 3072)).astype(np.uint8), RNG.randint(0, 10, 2).tolist()) for _ in range(6)]


# -- the archives --------------------------------------------------------------------------------------


def python2(x):
    """x as Python 2 with NumPy 1 pickled it (protocol 2), which is what the true archives have."""
    def name(text):
        return b"U" + bytes([len(text)]) + text

    if isinstance(x, bytes):
        return b"T" + struct.pack("<i", len(x)) + x
    if isinstance(x, int):
        return b"K" + bytes([x])
    if isinstance(x, list):
        return b"](" + b"".join(map(python2, x)) + b"e"
    if isinstance(x, dict):
        return b"}(" + b"".join(python2(k) + python2(v) for k, v in x.items()) + b"u"
    dtype = b"cnumpy\ndtype\n" + name(b"u1") + b"K\0K\1\x87R(K\3" + name(b"|")
    dtype += b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\0tb"
    rows, columns = (b"M" + struct.pack("<H", n) for n in x.shape)
    return (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85" + name(b"b") + b"\x87R(K\1"
            + rows + columns + b"\x86" + dtype + b"\x89" + python2(x.tobytes()) + b"tb")


def dump2(x):
    return b"\x80\2" + python2(x) + b"."


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
    folder = "cifar-10-batches-py/"
    batch = [dump({b"batch_label": b"batch", b"labels": y, b"data": x, b"filenames": [b"a", b"b"]}) for x, y in BATCHES]
    return {folder + "readme.html": b"<html>", folder + "test_batch": batch[5],
            folder + "batches.meta": dump({b"num_vis": 200, b"label_names": [c.encode() for c in CLASSES]}),
            **{f"{folder}data_batch_{i + 1}": batch[i] for i in range(5)}}


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
        server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and how != "ignore" else 0
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
    monkeypatch.setattr(images, "_HOSTS", tuple(server.url for server in both))
    monkeypatch.setattr(images, "_TIMEOUT", 5)
    monkeypatch.setattr(images, "_PAUSE", 0)
    monkeypatch.setattr(images, "_PIECE", 1000)
    monkeypatch.setattr(images, "_CACHE_SIZE", 10**6)
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
    true = images._ARCHIVES[source]._replace(size=len(body), sha256=hashlib.sha256(body).hexdigest())
    monkeypatch.setitem(images._ARCHIVES, source, true)


def folder():
    return Path(os.environ["MICRO_DATA"])


def part():
    return folder() / "cifar-10-python.tar.gz.part"


def is_right(got):
    assert type(got) is images.Images and got.source == "CIFAR-10" and got.classes == tuple(CLASSES)
    for x, y, batches in ((got.train_images, got.train_labels, BATCHES[:5]),
                          (got.test_images, got.test_labels, BATCHES[5:])):
        assert x.dtype == np.uint8 and x.shape == (2 * len(batches), 32, 32, 3) and x.flags.c_contiguous
        assert y.dtype == np.int64 and y.tolist() == sum((labels for _, labels in batches), [])
        for i in range(len(x)):
            row = batches[i // 2][0][i % 2]  # 1,024 red values, row after row of the image, then green, then blue
            for channel in range(3):
                assert (x[i, :, :, channel] == row[1024 * channel:][:1024].reshape(32, 32)).all()
        assert x[1, 2, 3, 1] == batches[0][0][1, 1024 + 2 * 32 + 3]


def is_kept():
    """Only the cache stays, and the lock's empty file."""
    assert {f.name for f in folder().iterdir()} - {"cifar-10.lock"} == {"cifar-10.npz"}


def says_one_sentence(error, *parts):
    text = str(error)
    assert "\n" not in text and text.endswith(".") and len(text) < 500, text
    for piece in parts:
        assert str(piece) in text, text


# -- what should happen --------------------------------------------------------------------------------


@pytest.mark.parametrize("dump", [dump2, lambda x: pickle.dumps(x, 2), lambda x: pickle.dumps(x, 4)])
def test_the_first_call_downloads_and_later_ones_read_the_cache(servers, dump, monkeypatch):
    body = tar(members10(dump))
    servers[0].body = body
    say("CIFAR-10", body, monkeypatch)
    is_right(data.cifar10())
    is_kept()
    assert servers[0].ranges == [None] and servers[1].ranges == [] and servers[0].sent == len(body)
    monkeypatch.setattr(images, "_make", None)
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
    ten, hundred = images._ARCHIVES["CIFAR-10"], images._ARCHIVES["CIFAR-100"]
    assert (ten.size, hundred.size) == (170_498_071, 169_001_437)
    readme = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for archive in ten, hundred:
        assert f"{archive.size:,} bytes" in readme and archive.sha256 in readme
    assert all(host.startswith("https://") and host in readme for host in images._HOSTS)


@pytest.mark.parametrize("environment, ending", [
    ({"MICRO_DATA": "~/here"}, "HOME/here"), ({"MICRO_DATA": "", "XDG_CACHE_HOME": ""}, "HOME/.cache/micro"),
    ({"MICRO_DATA": "", "XDG_CACHE_HOME": "/x"}, "/x/micro"),
    ({"MICRO_DATA": "", "REPOSITORY": "1"}, "ROOT/data/.cache"),
])
@pytest.mark.skipif(os.name == "nt", reason="folders of Windows")
def test_where_it_is_kept(environment, ending, tmp_path, monkeypatch):
    monkeypatch.setattr(images, "_ROOT", tmp_path / "root")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if "REPOSITORY" in environment:
        (tmp_path / "root" / "data").mkdir(parents=True)
        (tmp_path / "root" / "data" / "names.txt").touch()
    with pytest.raises(FileNotFoundError) as caught:
        data.cifar10(download=False)
    where = ending.replace("HOME", str(tmp_path)).replace("ROOT", str(tmp_path / "root"))
    says_one_sentence(caught.value, f"{where}/cifar-10.npz", "leave out download=False")
    assert images._ROOT != ROOT and not list(tmp_path.rglob("*.npz"))


def test_an_archive_that_was_put_there_by_hand_is_used_and_stays(servers):
    folder().mkdir()
    by_hand = folder() / "cifar-10-python.tar.gz"
    by_hand.write_bytes(ARCHIVE)
    is_right(data.cifar10())
    assert by_hand.read_bytes() == ARCHIVE and servers[0].ranges == servers[1].ranges == []


@pytest.mark.parametrize("wrong", [ARCHIVE[:-1], ARCHIVE[:-1] + b"!", b""])
def test_a_wrong_archive_that_was_put_there_by_hand_is_named_and_stays(wrong, servers):
    folder().mkdir()
    by_hand = folder() / "cifar-10-python.tar.gz"
    by_hand.write_bytes(wrong)
    with pytest.raises(data.DataUnavailable) as caught:
        data.cifar10()
    says_one_sentence(caught.value, by_hand, f"{servers[0].url}/cifar-10-python.tar.gz", "remove it")
    assert by_hand.read_bytes() == wrong and servers[0].ranges == []


# -- bad connections -----------------------------------------------------------------------------------


def test_a_cut_connection_is_resumed_where_it_broke(servers):
    servers[0].plan = ["cut 9000", "cut 5000", "ok"]
    is_right(data.cifar10())
    is_kept()
    assert servers[0].ranges == [None, "bytes=9000-", "bytes=14000-"]
    assert servers[0].sent == len(ARCHIVE) and servers[1].ranges == []


def test_the_next_host_goes_on_from_what_the_first_has_sent(servers):
    servers[0].plan = ["cut 9000", "cut 0", "ok"]
    is_right(data.cifar10())
    assert servers[0].ranges == [None, "bytes=9000-"] and servers[1].ranges == ["bytes=9000-"]


def test_connections_that_always_break_are_given_up(servers):
    for server in servers:
        server.plan = ["cut 1000"]
    with pytest.raises(data.DataUnavailable, match="the connection was cut"):
        data.cifar10()
    assert len(servers[0].ranges) == len(servers[1].ranges) == images._TRIES
    assert part().read_bytes() == ARCHIVE[:2 * 1000 * images._TRIES], "it is kept for the next call"
    servers[0].plan = ["ok"]
    is_right(data.cifar10())
    assert servers[0].sent + servers[1].sent == len(ARCHIVE)


def test_a_server_without_ranges_starts_anew(servers):
    servers[0].plan = ["cut 9000", "ignore"]
    is_right(data.cifar10())
    assert servers[0].ranges == [None, "bytes=9000-"] and servers[0].sent == 9000 + len(ARCHIVE)
    assert servers[1].ranges == []


@pytest.mark.parametrize("fault", ["shifted", "416"])
def test_what_cannot_be_resumed_is_thrown_away(fault, servers):
    servers[0].plan = ["cut 9000", fault, "ok"]
    is_right(data.cifar10())
    assert servers[0].ranges == [None, "bytes=9000-", None] and servers[1].ranges == []


@pytest.mark.parametrize("fault", ["404", "500", "503", "html", "disguised", "cut 0"])
def test_the_second_host_helps_where_the_first_fails(fault, servers):
    folder().mkdir()
    part().write_bytes(ARCHIVE[:8000])
    servers[0].plan = [fault]
    is_right(data.cifar10())
    is_kept()
    assert len(servers[0].ranges) == 1 and servers[1].ranges == ["bytes=8000-"], "what was there is not lost"


@pytest.mark.parametrize("fault", ["stall 9000", "silent"])
def test_a_server_that_falls_silent_is_left(fault, servers, monkeypatch):
    monkeypatch.setattr(images, "_TIMEOUT", 0.2)
    servers[0].plan = [fault, "silent"]
    start = time.perf_counter()
    is_right(data.cifar10())
    assert time.perf_counter() - start < 3
    assert servers[1].ranges == ["bytes=9000-" if "9000" in fault else None]


def test_a_redirection_takes_the_range_along(servers):
    servers[0].plan, servers[0].other = ["cut 9000", "away"], servers[1].url
    is_right(data.cifar10())
    assert servers[1].ranges == ["bytes=9000-"]


def test_no_network(servers, monkeypatch):
    folder().mkdir()
    part().write_bytes(ARCHIVE[:8000])
    gone = Server()
    gone.shutdown()
    gone.server_close()  # so nobody listens at its port
    monkeypatch.setattr(images, "_HOSTS", (gone.url, gone.url))
    for _ in range(2):
        with pytest.raises(data.DataUnavailable) as caught:
            data.cifar10()
    lines = str(caught.value).split("\n")
    assert len(lines) == 4 and [line[:2] for line in lines[1:]] == ["1.", "2.", "3."], lines
    assert lines[0].count("efused") == 2 and lines[0].count(gone.url[7:]) == 2
    assert "goes on where it stopped" in lines[1]
    assert f"{gone.url}/cifar-10-python.tar.gz" in lines[2] and str(folder() / "cifar-10-python.tar.gz") in lines[2]
    assert "MICRO_DATA" in lines[3] and part().read_bytes() == ARCHIVE[:8000]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert isinstance(caught.value, OSError)


# -- the wrong file ------------------------------------------------------------------------------------


def never(*args, **kwargs):
    raise AssertionError("an unchecked archive was opened")


@pytest.mark.parametrize("fault", ["wrong", "endless"])
def test_the_second_host_starts_from_nothing_where_the_first_sent_something_else(fault, servers, monkeypatch):
    written = []
    monkeypatch.setattr(images, "progress", lambda pieces, *_: (written.append(len(p)) or p for p in pieces))
    servers[0].plan = [fault]
    is_right(data.cifar10())
    assert servers[1].ranges == [None]
    assert 2 * len(ARCHIVE) <= sum(written) <= 2 * len(ARCHIVE) + 1000, "much more than an archive was written"


@pytest.mark.parametrize("fault", ["wrong", "endless", "html", "disguised"])
def test_what_is_not_the_archive_is_never_opened(fault, servers, monkeypatch):
    monkeypatch.setattr(images.tarfile, "open", never)
    for server in servers:
        server.plan = [fault]
    with pytest.raises(data.DataUnavailable) as caught:
        data.cifar10()
    words = "a web page came" if fault in ("html", "disguised") else "what came is not the archive"
    assert str(caught.value).count(words) == 2
    assert not part().exists() or part().stat().st_size == 0


class Evil:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def evil_archive(path):
    return tar(members10() | {"cifar-10-batches-py/data_batch_1": pickle.dumps({b"data": Evil(path)}, 2)})


def test_an_evil_pickle_with_a_wrong_hash_is_never_opened(servers, tmp_path, monkeypatch):
    evil = evil_archive(tmp_path / "ran")
    servers[0].body = servers[1].body = evil
    true = images._ARCHIVES["CIFAR-10"]._replace(size=len(evil))
    monkeypatch.setitem(images._ARCHIVES, "CIFAR-10", true)  # the size is right, so only the hash can tell
    monkeypatch.setattr(images.tarfile, "open", never)
    with pytest.raises(data.DataUnavailable, match="wrong size or sha256"):
        data.cifar10()
    assert not (tmp_path / "ran").exists()


def test_an_evil_pickle_with_the_right_hash_does_not_run(servers, tmp_path, monkeypatch):
    servers[0].body = evil_archive(tmp_path / "ran")
    say("CIFAR-10", servers[0].body, monkeypatch)
    with pytest.raises(pickle.UnpicklingError, match=r"names \w+\.open, which makes no array"):
        data.cifar10()
    assert not (tmp_path / "ran").exists() and not (folder() / "cifar-10.npz").exists()


@pytest.mark.parametrize("content", [ARCHIVE[:-1] + b"!", ARCHIVE + b"!", bytes(2 * len(ARCHIVE))])
def test_a_part_that_is_no_part_of_it_is_thrown_away(content, servers):
    folder().mkdir()
    part().write_bytes(content)
    is_right(data.cifar10())
    assert servers[0].ranges == [None]


def test_a_part_that_is_whole_needs_no_server(servers):
    folder().mkdir()
    part().write_bytes(ARCHIVE)
    is_right(data.cifar10())
    is_kept()
    assert servers[0].ranges == servers[1].ranges == []


def test_a_part_with_a_wrong_beginning_is_thrown_away(servers):
    folder().mkdir()
    part().write_bytes(bytes(8000))
    is_right(data.cifar10())
    assert servers[0].ranges == ["bytes=8000-"] and servers[1].ranges == [None]


# -- the disk ------------------------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_told_before_the_download(servers, monkeypatch):
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 120_000_000))
    monkeypatch.setitem(images._ARCHIVES, "CIFAR-10", images._ARCHIVES["CIFAR-10"]._replace(size=170_498_071))
    with pytest.raises(data.DataUnavailable) as caught:
        monkeypatch.setattr(images, "_CACHE_SIZE", 184_800_000)
        data.cifar10()
    says_one_sentence(caught.value, folder(), "355 MB", "170", "120 MB are free", "MICRO_DATA")
    assert servers[0].ranges == []


class Full(io.FileIO):
    room = 10_000

    def write(self, content):
        if self.tell() + len(content) > self.room:
            raise OSError(self.error, os.strerror(self.error))
        return super().write(content)


@pytest.mark.parametrize("error", {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
@pytest.mark.parametrize("ending", [".part", ".tmp"])
def test_a_disk_that_runs_full(error, ending, servers, monkeypatch):
    def nearly_full(path, mode):
        is_it = str(path).endswith(ending) and mode != "rb"
        return io.BufferedWriter(Full(path, mode)) if is_it else open(path, mode)

    monkeypatch.setattr(images, "open", nearly_full, raising=False)
    monkeypatch.setattr(Full, "error", error, raising=False)
    with pytest.raises(data.DataUnavailable) as caught:
        data.cifar10()
    says_one_sentence(caught.value, folder(), os.strerror(error), "MICRO_DATA")
    assert {f.name for f in folder().iterdir()} - {"cifar-10.lock"} == {part().name}, "the download stays, nothing else"
    have = part().stat().st_size
    assert 0 < have <= 10_000 if ending == ".part" else have == len(ARCHIVE)
    monkeypatch.delattr(images, "open")
    is_right(data.cifar10())
    assert servers[0].ranges == ([None, f"bytes={have}-"] if ending == ".part" else [None]) and servers[1].ranges == []


def test_a_folder_that_cannot_be_made(servers, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MICRO_DATA", str(tmp_path / "file" / "below"))
    with pytest.raises(data.DataUnavailable) as caught:
        data.cifar10()
    says_one_sentence(caught.value, tmp_path / "file" / "below", "MICRO_DATA")
    with pytest.raises(FileNotFoundError):
        data.cifar10(download=False)


@pytest.mark.skipif(os.name == "nt", reason="Windows does not know folders that cannot be written")
def test_a_folder_that_cannot_be_written(servers, monkeypatch):
    with tempfile.TemporaryDirectory() as where:  # not tmp_path: that is closed to others, also for reading
        os.chmod(where, 0o555)
        monkeypatch.setenv("MICRO_DATA", where)
        if os.geteuid() == 0:  # root may write everywhere: be nobody for a moment
            os.seteuid(65534)
        try:
            with pytest.raises(data.DataUnavailable) as caught:
                data.cifar10()
        finally:
            if os.getuid() == 0:
                os.seteuid(0)
    says_one_sentence(caught.value, where, "Permission denied", "MICRO_DATA")
    assert servers[0].ranges == []


@pytest.mark.parametrize("damage", [
    lambda raw: raw[:-100], lambda raw: raw[:5000], lambda raw: b"", lambda raw: b"no zip file",
    lambda raw: raw[:20_000] + bytes([raw[20_000] ^ 1]) + raw[20_001:],  # one bit of one pixel
    lambda raw: raw.replace(b"test_labels", b"TEST_labels"),
    lambda raw: raw.replace(b"(10, 32, 32, 3)", b"(11, 32, 32, 3)"),
    lambda raw: pickle.dumps([1]),
])
def test_a_damaged_cache_is_made_anew(damage, servers):
    data.cifar10()
    cache = folder() / "cifar-10.npz"
    raw = cache.read_bytes()
    assert damage(raw) != raw
    cache.write_bytes(damage(raw))
    with pytest.raises(FileNotFoundError) as caught:
        data.cifar10(download=False)
    says_one_sentence(caught.value, cache, "leave out download=False")
    is_right(data.cifar10())
    is_kept()
    assert servers[0].ranges == [None, None] and len(cache.read_bytes()) == len(raw)


def test_download_false_touches_nothing(servers):
    with pytest.raises(FileNotFoundError) as caught:
        data.cifar10(download=False)
    says_one_sentence(caught.value, "CIFAR-10", folder(), "leave out download=False")
    assert not folder().exists() and servers[0].ranges == []


# -- several processes ---------------------------------------------------------------------------------


def process(server):
    """A Python of its own that calls cifar10()."""
    archive = images._ARCHIVES["CIFAR-10"]
    code = (f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom micro import images\n"
            f"images._HOSTS, images._PIECE, images._CACHE_SIZE = ({server.url!r},), 1000, 10**6\n"
            f"images._ARCHIVES['CIFAR-10'] = images._Archive(*{json.dumps(archive)})\n"
            "print(images.cifar10().train_images.shape)")
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
    assert servers[0].ranges == [None, f"bytes={have}-"] and servers[1].ranges == []


def test_ctrl_c_leaves_the_part_and_no_lock(servers, monkeypatch):
    def interrupted(pieces, desc, total):
        assert "CIFAR-10" in desc and total == len(ARCHIVE) // 1000
        for _, piece in zip(range(9), pieces):
            yield piece
        raise KeyboardInterrupt

    monkeypatch.setattr(images, "progress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.cifar10()
    assert part().read_bytes() == ARCHIVE[:9000]
    with filelock.FileLock(folder() / "cifar-10.lock", timeout=0):
        pass
    monkeypatch.undo()


# -- load_images ---------------------------------------------------------------------------------------


GOOD = {"train_images": np.zeros((4, 6, 5, 3), np.uint8), "train_labels": np.array([0, 1, 2, 1], np.uint8),
        "test_images": np.ones((2, 6, 5, 3), np.uint8), "test_labels": np.array([3, 0])}


def test_load_images(tmp_path):
    np.savez(tmp_path / "a.npz", **GOOD, more=np.arange(3))
    got = data.load_images(tmp_path / "a.npz", "mine")
    assert got.classes == ("0", "1", "2", "3") and got.source == "mine"
    assert got.train_images.shape == (4, 6, 5, 3) and (got.test_images == 1).all()
    assert got.train_labels.dtype == got.test_labels.dtype == np.int64 and got.train_labels.tolist() == [0, 1, 2, 1]
    np.savez_compressed(tmp_path / "b.npz", **GOOD, classes=["ä", "b", "c", "d", "never"])
    assert data.load_images(str(tmp_path / "b.npz"), "x").classes == ("ä", "b", "c", "d", "never")


IMAGES, LABELS = "uint8 of shape (N, H, W, 3)", "whole numbers from 0 to "


@pytest.mark.parametrize("name, value, form", [
    ("train_images", None, IMAGES), ("test_images", None, IMAGES), ("train_labels", None, LABELS),
    ("test_labels", None, LABELS), ("train_images", np.zeros((4, 6, 5, 3)), IMAGES),
    ("train_images", np.zeros((4, 6, 5), np.uint8), IMAGES), ("train_images", np.zeros((4, 3, 6, 5), np.uint8), IMAGES),
    ("test_images", np.zeros((2, 6, 5, 4), np.uint8), IMAGES),
    ("test_images", np.zeros((2, 7, 5, 3), np.uint8), IMAGES),
    ("test_images", np.zeros((0, 6, 5, 3), np.uint8), IMAGES), ("train_labels", np.zeros(3, int), LABELS),
    ("train_labels", np.zeros(4), LABELS), ("train_labels", np.zeros((4, 1), int), LABELS),
    ("train_labels", np.array([0, 1, -1, 2]), LABELS), ("test_labels", np.array([0, 4]), "0 to 3"),
    ("test_labels", np.array([True, False]), LABELS), ("classes", np.arange(4), "strings of shape (C,)"),
    ("classes", np.array("abcd"), "strings of shape (C,)"),
])
def test_what_is_not_of_the_form_is_named(name, value, form, tmp_path):
    arrays = GOOD | {"classes": np.array(list("abcd")), name: value}
    path = tmp_path / "mine.npz"
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    with pytest.raises(ValueError) as caught:
        data.load_images(path, "mine")
    found = "it is missing" if value is None else f"it is {value.dtype} of shape {value.shape}"
    says_one_sentence(caught.value, path, repr(name), form, found)


def test_labels_without_classes_must_be_below_ten_thousand(tmp_path):
    np.savez(tmp_path / "a.npz", **GOOD | {"test_labels": np.array([0, 2**62])})
    with pytest.raises(ValueError, match="'test_labels' must be whole numbers from 0 to 9999"):
        data.load_images(tmp_path / "a.npz", "mine")


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        data.load_images(tmp_path / "none.npz", "mine")
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.savez(tmp_path / "objects.npz", **GOOD | {"train_labels": np.array([Evil(tmp_path / "ran"), 1, 2, 3], object)})
    (tmp_path / "text.npz").write_text("hello")
    for name in "a.npy", "objects.npz", "text.npz":
        with pytest.raises(ValueError) as caught:
            data.load_images(tmp_path / name, "mine")
        says_one_sentence(caught.value, tmp_path / name, "damaged, or not an .npz file of plain arrays")
    assert not (tmp_path / "ran").exists()
