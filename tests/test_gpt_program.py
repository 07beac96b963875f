"""python -m micro.gpt: it trains, goes on, samples, in one process or two, and says what is wrong."""
import os
import random
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from micro import checkpoint
from micro.gpt import __main__ as program
from micro.gpt import training
from micro.gpt.training import Problem, Run, encode, find_device
from tests import course
from tests.tensors import one_thread  # noqa: F401 (a fixture is used by being there)

ROOT = Path(__file__).resolve().parent.parent
TINY = "--n-embd 16 --block-size 16 --batch-size 4 --n-layer 1 --n-head 2".split()
SHORT = [*TINY, "--steps", "6"]


@pytest.fixture(autouse=True)
def plain_place(monkeypatch, tmp_path):
    """A folder of its own, and nothing from outside that changes what the program does."""
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MICRO_DEVICE", "MICRO_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    draw = random.Random(1)
    words = ["".join(draw.choice("abcdef") for _ in range(5)) for _ in range(12)]
    Path("t.txt").write_text(" ".join(draw.choice(words) for _ in range(500)) + "\n")


@pytest.fixture
def do(capsys):
    return course.runner(program.main, capsys)


@pytest.fixture
def train(do):
    def train(out, *words, text="t.txt"):
        return do("train", "--text", text, "--device", "cpu", "--out", out, *words)
    return train


def equal(a, b):
    """Everything in two checkpoints but the clock."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


# -- training ------------------------------------------------------------------------------------------

def test_it_trains_saves_and_says_so(train):
    code, out, err = train("m.pt", *SHORT, "--every", 4)
    first, four, six, last = out.splitlines()
    assert code == 0 and err == "" and sorted(os.listdir()) == ["m.pt", "t.txt"]
    count = 8 * 16 + 16 * 16 + 12 * 16 * 16 + 2 * 16 + 16
    assert first == f"{count:,} parameters on cpu, 2,700 characters to train on, 300 for validation"
    losses = r"training loss \d\.\d{3}, validation loss \d\.\d{4}, \d+\.\d s"
    assert re.fullmatch("step 4: " + losses, four) and re.fullmatch("step 6: " + losses, six)
    assert last == "saved at step 6 of 6 in m.pt"
    state = checkpoint.load("m.pt")
    assert state["step"] == len(state["losses"]) == 6 and state["chars"] == "\n abcdef"
    assert state["config"]["n_embd"] == 16 and state["config"]["n_layer"] == 1
    assert state["recipe"]["steps"] == 6 and state["recipe"]["batch_size"] == 4
    assert f"training loss {state['losses'][5]:.3f}" in six


def test_what_it_says_is_the_validation_loss_of_what_it_saved(train):
    _, out, _ = train("m.pt", *SHORT)
    model, state = training.load("m.pt")
    data = encode(Path("t.txt").read_text()[2700:], state["chars"])
    loss = training.whole_loss(model, data, 16)
    assert f"validation loss {loss:.4f}," in out


def test_it_learns(train):
    _, out, _ = train("m.pt", *TINY, "--steps", 150, "--every", 1000, "--lr", 0.02)
    assert float(re.search(r"validation loss (\S+),", out)[1]) < 1.5    # nothing learned: log(8) = 2.08


def test_without_a_text_it_reads_the_nine_plays(do):
    code, out, _ = do("train", "--out", "m.pt", "--steps", 1, *TINY)
    assert code == 0 and "1,064,663 characters to train on, 118,296 for validation" in out


def test_a_seed_gives_the_same_run_again_and_another_another(train):
    states = []
    for k, seed in enumerate((5, 5, 6)):
        train(f"{k}.pt", *SHORT, "--seed", seed, "--dropout", 0.2)
        states.append(checkpoint.load(f"{k}.pt"))
    assert equal(states[0], states[1]) and states[0]["losses"] != states[2]["losses"]


def windows(seed, step=0):
    """The first batch of a run, and what dropout starts from."""
    asked = {"block_size": 16, "n_embd": 16, "n_layer": 1, "seed": seed}
    run = Run("t.txt", "m.pt", asked, device="cpu")
    seen = []
    run.model.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    run.draw, run.fresh, run.step = torch.Generator(), [], step
    run.batch_loss()
    return seen[0], torch.rand(5)


def test_each_step_has_its_own_batch_and_its_own_dropout():
    (x, noise), (other, noise2), (again, noise3) = windows(1), windows(1, step=1), windows(1)
    assert torch.equal(x, again) and torch.equal(noise, noise3)
    assert not torch.equal(x, other) and not torch.equal(noise, noise2)


def test_each_seed_has_its_own_batches_and_its_own_dropout():
    (x, noise), (other, noise2) = windows(1), windows(2)
    assert not torch.equal(x, other)
    assert not torch.equal(noise, noise2)


def test_bfloat16_trains_to_nearly_the_same_loss(train):
    code, _, _ = train("half.pt", *TINY, "--steps", 30, "--dtype", "bfloat16")
    train("full.pt", *TINY, "--steps", 30)
    half, full = checkpoint.load("half.pt"), checkpoint.load("full.pt")
    assert code == 0 and half["losses"] != full["losses"]
    assert max(abs(a - b) for a, b in zip(half["losses"], full["losses"])) < 0.05
    assert all(x.dtype == torch.float32 for x in half["model"].values())
    assert half["model"].keys() == full["model"].keys()


# -- going on ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("dropout", [0, 0.2])
@pytest.mark.parametrize("stops", [[3], [1, 2, 5]])
def test_a_run_that_stopped_and_went_on_is_one_that_never_stopped(train, dropout, stops):
    train("whole.pt", *SHORT, "--dropout", dropout)
    for k, stop in enumerate([*stops, None]):
        torch.rand(k + 3)                               # the global generator is no part of it
        how = ["--resume"] if k else [*SHORT, "--dropout", dropout]
        code, out, err = train("m.pt", *how, *(["--until", stop] if stop else []))
        assert code == 0 and err == "" and out.endswith(f"saved at step {stop or 6} of 6 in m.pt\n")
    assert equal(checkpoint.load("whole.pt"), checkpoint.load("m.pt"))


def spoil_rate(monkeypatch, state):
    def fit(batch_loss, optimizer, *args, real=training.train.fit, **how):
        for group, saved in zip(optimizer.param_groups, state["optimizer"]["param_groups"]):
            group["lr"] = saved["lr"]
        return real(batch_loss, optimizer, *args, **how)
    monkeypatch.setattr(training.train, "fit", fit)


def spoil_moments(monkeypatch, state):
    for kept in state["optimizer"]["state"].values():
        kept["exp_avg"].zero_()


def spoil_count(monkeypatch, state):
    for kept in state["optimizer"]["state"].values():
        kept["step"].zero_()


def spoil_step(monkeypatch, state):
    state["step"] -= 1


def spoil_noise(monkeypatch, state):
    monkeypatch.setattr(torch, "manual_seed", lambda seed: None)


SPOIL = [None, spoil_rate, spoil_moments, spoil_count, spoil_step, spoil_noise]


@pytest.mark.parametrize("spoil", SPOIL)
def test_a_resume_that_forgets_something_would_differ(train, monkeypatch, spoil):
    train("whole.pt", *SHORT, "--dropout", 0.2)
    train("m.pt", *SHORT, "--dropout", 0.2, "--until", 3)
    state = checkpoint.load("m.pt")
    if spoil:
        spoil(monkeypatch, state)
    checkpoint.save("m.pt", state)
    assert train("m.pt", "--resume")[0] == 0
    whole, now = checkpoint.load("whole.pt"), checkpoint.load("m.pt")
    assert equal(whole["model"], now["model"]) == (whole["losses"] == now["losses"]) == (spoil is None)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_an_interrupt_leaves_the_last_save_to_go_on_from(train, monkeypatch, where):
    train("whole.pt", *SHORT)
    calls = []

    def stops(*args, real, **how):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(*args, **how)
    with monkeypatch.context() as patch:
        if where == "forward":
            patch.setattr(Run, "batch_loss", lambda self, real=Run.batch_loss: stops(self, real=real))
        else:
            clip = torch.nn.utils.clip_grad_norm_
            patch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *args: stops(*args, real=clip))
        code, out, err = train("m.pt", *SHORT, "--every", 2)
    assert code == 1 and err == "" and "Interrupted after" in out
    assert out.endswith("saved at step 4 of 6 in m.pt\n") and sorted(os.listdir())[0] == "m.pt"
    assert checkpoint.load("m.pt")["step"] == 4
    assert train("m.pt", "--resume")[0] == 0
    assert equal(checkpoint.load("whole.pt"), checkpoint.load("m.pt"))


def stop_at_once(*_):
    raise KeyboardInterrupt


def test_an_interrupt_before_the_first_save_says_so_and_keeps_the_old_file(train, monkeypatch):
    train("m.pt", *SHORT)
    before = Path("m.pt").read_bytes()
    monkeypatch.setattr(Run, "batch_loss", stop_at_once)
    code, out, _ = train("m.pt", *SHORT)
    assert code == 1 and out.endswith("nothing saved yet\n") and Path("m.pt").read_bytes() == before


def test_an_interrupt_in_the_last_save_is_not_called_saved(train, monkeypatch):
    train("m.pt", *SHORT, "--until", 3)
    monkeypatch.setattr(torch, "save", stop_at_once)
    code, out, _ = train("m.pt", "--resume")
    assert checkpoint.load("m.pt")["step"] == 3 and "saved at step 6" not in out
    assert code == 1


def test_a_loss_that_is_not_finite_ends_it_and_keeps_the_last_save(train, monkeypatch):
    monkeypatch.setattr(Run, "batch_loss", lambda self, real=Run.batch_loss: (
        real(self) * (float("nan") if self.step == 4 else 1)))
    code, out, _ = train("m.pt", *SHORT, "--every", 3)
    assert code == 1 and "the loss is nan" in out and checkpoint.load("m.pt")["step"] == 3


# -- two processes -------------------------------------------------------------------------------------

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def torchrun(*words):
    with_two = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master-port={free_port()}"]
    env = os.environ | {"OMP_NUM_THREADS": "1", "MICRO_PROGRESS": "0", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *with_two, "-m", "micro.gpt", *map(str, words)], env=env,
                          capture_output=True, text=True, timeout=120)


def said(out):
    """The words without decimals, and the losses."""
    out = re.sub(r", \d+\.\d s\n", "\n", out)
    return re.sub(r"\d+\.\d+", "", out), [float(x) for x in re.findall(r"\d+\.\d+", out)]


def test_two_processes_train_as_one_does(train, do):
    _, whole, _ = train("m.pt", *SHORT, "--every", 3)
    one = checkpoint.load("m.pt")
    Path("m.pt").unlink()
    done = torchrun(*NEW, "--every", 3)
    assert done.returncode == 0, done.stderr
    two = checkpoint.load("m.pt")
    (words, losses), (same_words, same_losses) = said(done.stdout), said(whole)
    assert words == same_words, "the same split, and only one of the two prints"
    assert losses == pytest.approx(same_losses, abs=0.0011) and len(losses) == 4  # of 3 digits
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5) and two["step"] == 6
    assert all(torch.allclose(w, two["model"][k], rtol=0, atol=1e-4) for k, w in one["model"].items())
    assert two["recipe"] == one["recipe"] and two["model"].keys() == one["model"].keys()
    assert do("sample", "--out", "m.pt", "--prompt", "a", "--length", 5)[0] == 0


def share(monkeypatch, many, rank, seed=1):
    """The rows that one of many processes reads, without starting them."""
    monkeypatch.setenv("WORLD_SIZE", str(many))
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr(training.dist, "init_process_group", lambda *_: None)
    monkeypatch.setattr(training, "DistributedDataParallel", lambda net: net)
    return windows(seed, step=2)


@pytest.mark.parametrize("many", [1, 2, 3, 4])
def test_the_processes_share_the_rows_of_the_one_batch_and_drop_differently(monkeypatch, many):
    whole, _ = share(monkeypatch, 1, 0)
    shares = [share(monkeypatch, many, rank) for rank in range(many)]
    rows = sorted(row for x, _ in shares for row in x.tolist())
    assert rows == sorted(whole.tolist()) and {len(x) for x, _ in shares} == {12 // many}
    assert len({tuple(noise.tolist()) for _, noise in shares}) == many


@pytest.mark.parametrize("name", ["cuda", None])
def test_each_process_of_a_machine_gets_its_own_gpu(monkeypatch, name):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert find_device(name) == torch.device("cuda:1")


# -- sampling ------------------------------------------------------------------------------------------

def test_a_sample_goes_on_from_its_prompt_in_the_letters_of_the_text(train, do):
    train("m.pt", *SHORT)
    words = ["sample", "--out", "m.pt", "--prompt", "abba", "--length", 60]
    code, out, err = do(*words)
    assert code == 0 and err == "" and out.startswith("abba") and len(out) == 4 + 60 + 1
    assert set(out) <= set("\n abcdef") and do(*words)[1] == out and do(*words, "--seed", 1)[1] != out
    assert do("sample", "--out", "m.pt", "--length", 5)[1][0] == "\n"
    ways = [["--temperature", 0], ["--top-k", 1], ["--top-p", 0.001], ["--top-k", 1, "--seed", 9]]
    assert len({do("sample", "--out", "m.pt", "--length", 60, *how)[1] for how in ways}) == 1
    ways = [["--temperature", t] for t in (0.2, 0.8, 3)] + [["--top-k", 3], ["--top-p", 0.5]]
    assert len({do("sample", "--out", "m.pt", "--length", 60, *how)[1] for how in ways}) == 5


def test_a_run_at_half_precision_or_with_dropout_samples_as_its_weights_say(train, do):
    train("m.pt", *SHORT, "--dropout", 0.5, "--dtype", "bfloat16")
    model, state = training.load("m.pt")
    ix, text = encode("a", state["chars"])[None], "a"
    for _ in range(12):
        ix = torch.cat([ix, model.eval()(ix)[:, -1].argmax(-1, keepdim=True)], 1)
        text += state["chars"][ix[0, -1]]
    assert do(*SAMPLE, "--length", 12, "--temperature", 0)[1] == text + "\n"


# -- what is refused -----------------------------------------------------------------------------------

@pytest.fixture
def refused(do, train):
    """Exit code 2, one line that holds all `pieces`, and every file as it was."""
    def refused(words, *pieces):
        files = {p: p.read_bytes() for p in Path().iterdir() if p.is_file()}
        code, _, err = do(*words)
        assert code == 2 and re.fullmatch(r"micro\.gpt: .*\.\n", err)      # no other line end
        assert [piece for piece in pieces if piece not in err] == [], err
        assert {p: p.read_bytes() for p in Path().iterdir() if p.is_file()} == files
    train("m.pt", *SHORT, "--until", 3)
    return refused


NEW = ["train", "--device", "cpu", "--out", "m.pt", "--text", "t.txt", *SHORT]
GO_ON = ["train", "--device", "cpu", "--out", "m.pt", "--text", "t.txt", "--resume"]
SAMPLE = ["sample", "--device", "cpu", "--out", "m.pt", "--prompt", "a"]


def test_a_text_that_can_not_be_read_is_named(refused):
    refused([*NEW, "--text", "none.txt"], "'none.txt'", "No such file", "a file that exists")
    refused([*NEW, "--text", "."], "'.'", "s a directory", "Give --text a file")
    Path("latin.txt").write_bytes(("é" * 999).encode("latin-1"))
    refused([*NEW, "--text", "latin.txt"], "'latin.txt'", "UTF-8", "save it as UTF-8")


@pytest.mark.parametrize("n", [0, 1, 16, 99, 160])
def test_a_text_that_is_too_short_is_named(refused, n):
    Path("short.txt").write_text("ab cd" * (n // 5) + "x" * (n % 5))
    refused([*NEW, "--text", "short.txt"], "'short.txt'", f"has {n} characters", "--block-size 16")


def test_the_shortest_text_that_is_long_enough_is_taken(train):
    Path("short.txt").write_text("ab" * 80 + "a")
    assert train("m.pt", *SHORT, text="short.txt")[0] == 0


@pytest.mark.parametrize("flag, old, new", [
    ("--n-layer", 1, 2), ("--n-embd", 16, 32), ("--n-head", 2, 4), ("--block-size", 16, 8),
    ("--dropout", 0.0, 0.5), ("--steps", 6, 9), ("--batch-size", 4, 8), ("--lr", 0.006, 0.01),
    ("--seed", 0, 1), ("--warmup", 0.05, 0.5), ("--clip", 1.0, 2.0), ("--weight-decay", 0.1, 0.0)])
def test_going_on_with_another_size_or_recipe_is_refused(refused, flag, old, new):
    refused([*GO_ON, flag, new], "'m.pt'", f"made with {flag} {old}, not {new}", f"leave {flag} out",
            "another --out")


def test_going_on_with_the_same_size_said_again_is_not(train):
    train("m.pt", *SHORT, "--until", 3)
    assert train("m.pt", "--resume", *SHORT)[0] == 0


def test_going_on_with_another_text_of_the_same_letters_is_refused(refused):
    Path("other.txt").write_text("fedcba \n" * 100)
    refused([*GO_ON, "--text", "other.txt"], "text")


def test_nothing_left_to_do_is_said(refused, train):
    train("m.pt", "--resume")
    refused(GO_ON, "'m.pt'", "6 of 6 steps", "nothing to go on with")


def test_an_end_that_lies_behind_is_said(refused):
    refused([*GO_ON, "--until", 2], "--until")


def test_a_device_that_is_not_there_is_named(refused, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for words in (NEW, GO_ON, SAMPLE):
        refused([*words, "--device", "cuda"], "'cuda'", "none", "ask for 'cpu'")
        refused([*words, "--device", "abacus"], "'abacus'", "choose 'cpu'")


def test_a_prompt_that_can_not_be_read_is_named(refused):
    refused([*SAMPLE, "--prompt", "abXYc"], "'X'", r"'\n abcdef'")
    refused([*SAMPLE, "--prompt", ""], "--prompt must hold at least one character")
    refused([*SAMPLE, "--prompt", "\N{SNOWMAN}"], "\N{SNOWMAN}")


def test_a_checkpoint_that_is_not_there_is_named(refused):
    for words in (GO_ON, SAMPLE):
        refused([*words, "--out", "none.pt"], "no checkpoint 'none.pt'")


def cut_off(path):
    path.write_bytes(Path("m.pt").read_bytes()[:20000])


@pytest.mark.parametrize("write", [
    lambda path: path.write_text("To be, or not to be\n"), lambda path: path.write_bytes(b""),
    lambda path: checkpoint.save(path, {"config": 1}), lambda path: checkpoint.save(path, [1, 2]),
    lambda path: checkpoint.save(path, checkpoint.load("m.pt") | {"model": {}}),
    lambda path: torch.save(torch.nn.Linear(2, 2), path), lambda path: path.write_text("hello\n"),
    cut_off, lambda path: path.write_text("all's well"), Path.mkdir,
    lambda path: checkpoint.save(path, torch.ones(2))])
def test_a_file_that_is_no_checkpoint_is_named(refused, write):
    write(Path("bad.pt"))
    for words in (GO_ON, SAMPLE):
        refused([*words, "--out", "bad.pt"], "'bad.pt'")


@pytest.mark.parametrize("key", ["chars", "recipe", "step", "losses", "optimizer"])
def test_a_checkpoint_that_lacks_a_part_is_named(refused, key):
    state = checkpoint.load("m.pt")
    del state[key]
    checkpoint.save("bad.pt", state)
    refused([*GO_ON, "--out", "bad.pt"], "'bad.pt'")


def test_a_folder_that_is_not_there_is_named(refused):
    refused([*NEW, "--out", "none/m.pt"], "'none'", "'m.pt'", "make it first")


def test_a_folder_in_place_of_the_checkpoint_is_named_before_any_work(refused):
    refused([*NEW, "--out", "."], "'.'")


@pytest.mark.parametrize("n_embd, n_head", [(18, 4), (15, 2), (15, 3)])
def test_sizes_that_do_not_fit_are_named(refused, n_embd, n_head):
    refused([*NEW, "--n-embd", n_embd, "--n-head", n_head], f"{n_embd}", f"{n_head}", "multiple")


ONES = "steps batch-size block-size n-layer n-head every until threads".split()
LOW = [(flag, n, 1) for flag in ONES for n in (0, -3)] + [("n-embd", n, 2) for n in (1, -4)]
BETWEEN = [(flag, n, low, high) for flag, low, high, bad in (
    ("dropout", 0, 0.99, (-0.1, 1.0, "nan")), ("warmup", 0.001, 0.99, (0.0, 1.0)),
    ("lr", 1e-9, 10, (0.0, -0.1, 11.0, "nan", "inf")), ("seed", 0, 2**31 - 1, (-1, 2**31)))
           for n in bad]


@pytest.mark.parametrize("flag, n, low", LOW)
def test_a_number_that_is_too_low_is_named(refused, flag, n, low):
    refused([*NEW, f"--{flag}", n], f"--{flag} must be at least {low}, not {n}")


@pytest.mark.parametrize("flag, n, low, high", BETWEEN)
def test_a_number_out_of_range_is_named(refused, flag, n, low, high):
    refused([*NEW, f"--{flag}", n], f"--{flag} must lie between {low} and {high}, not {n}")


@pytest.mark.parametrize("flag, n", [
    ("length", 0), ("top-k", 0), ("top-k", -1), ("top-p", 0.0), ("top-p", 1.1), ("top-p", "nan"),
    ("temperature", -0.5), ("temperature", "nan"), ("seed", -1)])
def test_a_number_that_no_sample_can_be_made_with_is_named(refused, flag, n):
    refused([*SAMPLE, f"--{flag}", n], f"--{flag} must", f"not {n}")


@pytest.mark.parametrize("words", [["--clip", "-1"], ["--clip", "nan"], ["--weight-decay", "-1"],
                                   ["--weight-decay", "nan"]], ids=" ".join)
def test_a_clip_or_decay_out_of_range_is_named(refused, words):
    refused([*NEW, *words], words[0])


def test_a_temperature_of_almost_0_is_like_0(do, train):
    train("m.pt", *SHORT)
    assert do(*SAMPLE, "--temperature", 1e-40)[1] == do(*SAMPLE, "--temperature", 0)[1]


def test_a_thread_count_that_is_no_number_is_named(refused, monkeypatch):
    monkeypatch.setenv("MICRO_THREADS", "many")
    refused(NEW, "MICRO_THREADS", "'many'")


def test_a_batch_that_can_not_be_shared_is_named(refused, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    for words in (NEW, GO_ON):
        refused(words, "--batch-size 4", "3 processes")


@pytest.mark.parametrize("words", [["train", "--steps", "six"], ["train", "--dtype", "float16"], [],
                                   ["dance"], ["sample", "--text", "t.txt"]], ids=" ".join)
def test_what_is_no_flag_or_number_is_refused_with_the_usage(do, capsys, words):
    with pytest.raises(SystemExit) as stop:
        do(*words)
    assert stop.value.code == 2 and capsys.readouterr().err.startswith("usage: python -m micro.gpt")


FLAGS = {
    "train": """text resume every until dtype compile threads block-size n-layer n-head n-embd dropout
                steps batch-size lr weight-decay warmup clip seed out device help""",
    "sample": "prompt length temperature top-k top-p seed out device help"}


@pytest.mark.parametrize("words", [[], ["train"], ["sample"]], ids=" ".join)
def test_help_names_every_flag(do, capsys, words):
    with pytest.raises(SystemExit) as stop:
        do(*words, "--help")
    out, err = capsys.readouterr()
    assert stop.value.code == 0 and err == ""
    if words:
        named = set(re.findall(r"^ +(?:-h, )?--([a-z-]+)", out.partition("options:")[2], re.MULTILINE))
        assert named == set(FLAGS[words[0]].split())
    else:
        assert all(re.search(rf"^ +{command} +\w", out, re.MULTILINE) for command in FLAGS)


def test_it_is_a_program_with_an_exit_code_and_no_traceback():
    words = [sys.executable, "-m", "micro.gpt", "sample", "--out", "none.pt"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("micro.gpt: there is no checkpoint 'none.pt'")


def test_its_problems_are_of_one_kind():
    with pytest.raises(Problem, match="not trained on the character 'z'"):
        encode("abz", "abc")
    assert encode("cab", "abc").tolist() == [2, 0, 1] and encode("", "abc").dtype == torch.long
