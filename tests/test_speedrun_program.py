"""python -m micro.speedrun: from images to a record, what it refuses and how, and that tuning sees no test image."""
import gc
import json
import math
import re
import weakref

import numpy as np
import pytest
import torch

from micro.speedrun import __main__ as program
from micro.speedrun.clock import Result
from micro.speedrun.ladder import BASELINE, LADDER, names, recipe, shrink
from micro.speedrun.measure import t_test
from tests import course
from tests.tensors import one_thread  # noqa: F401 (a fixture is used by being there)
from tests.test_speedrun import tiny

NUMBERS = {"mean", "std", "error"}


@pytest.fixture(autouse=True)
def plain_place(monkeypatch, tmp_path):
    """A folder of its own, the CPU, and no real record to write to."""
    monkeypatch.setenv("MICRO_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(program, "RESULTS", tmp_path / "never.json")
    yield
    assert not (tmp_path / "never.json").exists()


def save(images, name="i.npz"):
    np.savez(name, **{part: getattr(images, part) for part in images._fields[:4]}, classes=np.array(images.classes))
    return name


@pytest.fixture
def do(capsys):
    return course.runner(program.main, capsys)


class FakeRun:
    """A Run that trains nothing: its accuracy and seconds come from the recipe and the seed."""

    made, fails = [], {}

    def __init__(self, recipe, images, device):
        self.recipe, self.images, self.device = recipe, images, device
        self.made.append(self)
        self.steps, self.seeds = 10, []
        for field, error in self.fails.items():
            if getattr(recipe, field):
                raise error

    def once(self, seed):
        self.seeds.append(seed)
        return Result(0.94 + 0.001 * (seed % 3), 4.0 if self.recipe.graph else 5.0, 0.5, 0.25)


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(program, "Run", FakeRun)
    monkeypatch.setattr(program.measure, "work", lambda run: 123)
    monkeypatch.setattr(FakeRun, "made", [])
    monkeypatch.setattr(FakeRun, "fails", {})
    save(tiny(300, 20, 18))
    return FakeRun


def test_from_images_to_a_record(do):
    save(tiny(260, 40, 18))
    code, out, err = do("--small", "--data", "i.npz", "--source", "patterns", "--rung", "Muon", "--rung", "a small net",
                        "--rung-runs", 1, "--final", "six views", "--runs", 2, "--record", "deep/r.json")
    assert code == 0 and err == ""
    with open("deep/r.json", encoding="utf-8") as file:
        book = json.load(file)
    assert {"what", "made_by", "rungs", "claims"} <= set(book) and list(book["rungs"]) == ["a small net", "Muon"]
    row = book["rungs"]["Muon"]
    assert row["n"] == 1 and row["epochs"] == 4 and row["steps"] == 4 and row["source"] == "patterns"
    assert len(row["accuracies"]) == 1 and 0 <= row["accuracies"][0] <= 1 and row["accuracy"]["std"] is None
    assert set(row["seconds"]) == NUMBERS | {"median", "min", "max"} and row["seconds"]["mean"] > 0
    assert row["device"].startswith("CPU") and row["versions"]["torch"] == torch.__version__ and row["why"]
    assert row["share_of_peak"] is None and row["flops"] > 1e9
    (name, claim), = book["claims"].items()
    assert name == claim["name"] == "patterns" and claim["final"]["name"] == "six views"
    assert claim["baseline"]["name"] == BASELINE and claim["final"]["n"] == claim["baseline"]["n"] == 2
    assert claim["ratio_of_times"] == claim["final"]["seconds"]["mean"] / claim["baseline"]["seconds"]["mean"]
    assert set(claim["t_test_against_94"]) == {"t", "p"} and claim["date"]
    lines = out.splitlines()
    assert re.fullmatch(r"CPU .*, PyTorch .*, patterns: 260 training images, 40 to test on", lines[0])
    assert [line[:28].strip() for line in lines[1:5]] == ["a small net", "Muon", "six views", "Muon"]
    for line in lines[1:5]:
        assert re.search(r" 4 epochs: \d+\.\d{3} s, \d+\.\d\d%( ± \d+\.\d{3}%)?, n=[12], [\d,]+ images/s$", line)
    assert re.fullmatch(r"\d\.\d{3} of the baseline's time; accuracy [\d.]+% against [\d.]+%", lines[5])
    assert lines[6].startswith("one-sided t-test against 94%: t = ") and lines[7] == "written to deep/r.json"
    assert len(lines) == 8


def test_the_claim_in_numbers(do, fake):
    code, out, _ = do("--small", "--data", "i.npz", "--runs", 6, "--record", "r.json")
    final, base = fake.made
    assert code == 0 and final.seeds == base.seeds == list(range(10_000, 10_006))
    assert base.recipe == shrink(recipe(BASELINE), 1 / 4, 250, 4)
    assert final.recipe == shrink(recipe(names()[-1]), 1 / 4, 250, 4)
    with open("r.json", encoding="utf-8") as file:
        claim = json.load(file)["claims"]["i.npz"]
    assert "rungs" not in claim and claim["ratio_of_times"] == 0.8
    t, p = t_test([0.94 + 0.001 * (seed % 3) for seed in range(10_000, 10_006)], 0.94)
    assert claim["t_test_against_94"] == {"t": pytest.approx(t), "p": pytest.approx(p)}
    assert f"t = {t:.2f}, p = {p:.3g}; one run: ± 0.09" in out
    assert "0.800 of the baseline's time; accuracy 94.10% against 94.10%" in out


def test_one_run_has_no_t_test_and_none_no_claim(do, fake):
    code, out, _ = do("--small", "--data", "i.npz", "--runs", 1, "--record", "r.json")
    assert code == 0 and "t-test" not in out
    with open("r.json", encoding="utf-8") as file:
        assert "t_test_against_94" not in json.load(file)["claims"]["i.npz"]
    fake.made.clear()
    code, out, _ = do("--small", "--data", "i.npz", "--runs", 0)
    assert code == 0 and not fake.made and len(out.splitlines()) == 1


def test_equal_accuracies_leave_the_t_test_open(do, fake, monkeypatch):
    monkeypatch.setattr(fake, "once", lambda self, seed: Result(0.95, 1.0, 0.5, 0.25))
    code, _, _ = do("--small", "--data", "i.npz", "--runs", 2, "--record", "r.json")
    with open("r.json", encoding="utf-8") as file:
        text = file.read()
    assert code == 0 and "NaN" not in text
    assert json.loads(text)["claims"]["i.npz"]["t_test_against_94"] == {"t": None, "p": None}


def test_the_ladder_measures_every_rung_in_order(do, fake):
    code, out, _ = do("--small", "--data", "i.npz", "--ladder", "--rung-runs", 3, "--runs", 0, "--record", "r.json")
    with open("r.json", encoding="utf-8") as file:
        book = json.load(file)
    assert code == 0 and list(book["rungs"]) == names() and "claims" not in book
    assert [run.seeds for run in fake.made] == [[0, 1, 2]] * len(LADDER)
    assert [line[:28].strip() for line in out.splitlines()[1:]] == names()
    fake.made.clear()
    do("--small", "--data", "i.npz", "--ladder", "--minutes", 0, "--runs", 0)
    assert [run.seeds for run in fake.made] == [[0]] * len(LADDER)


def test_a_rung_that_fails_is_written_down_and_the_rest_goes_on(do, fake):
    fake.fails = {"lookahead": RuntimeError("CUDA error: out of luck\nand more")}
    code, out, err = do("--small", "--data", "i.npz", "--rung", "whitening", "--rung", "lookahead", "--rung", "Muon",
                        "--runs", 1, "--record", "r.json")
    with open("r.json", encoding="utf-8") as file:
        rungs = json.load(file)["rungs"]
    assert code == 0 and err == "" and list(rungs) == ["whitening", "lookahead", "Muon"]
    assert rungs["lookahead"]["failed"] == "RuntimeError: CUDA error: out of luck" and "n" in rungs["Muon"]
    assert re.search(r"^lookahead +failed: RuntimeError: CUDA error: out of luck$", out, re.M)


def test_fields_are_set_in_every_recipe_and_recorded(do, fake):
    code, _, _ = do("--small", "--data", "i.npz", "--rung", "a small net", "--runs", 1, "--record", "r.json",
                    "--set", "shift=4", "--set", "compile=", "--set", "coefficients=(1, 2, 3)", "--set", "flip=random")
    assert code == 0 and len(fake.made) == 3
    for run in fake.made:
        r = run.recipe
        assert (r.shift, r.compile, r.coefficients, r.flip) == (4, "", (1, 2, 3), "random")
    with open("r.json", encoding="utf-8") as file:
        book = json.load(file)
    for entry in (book["rungs"]["a small net"], book["claims"]["i.npz"]):
        assert entry["changed"]["shift"] == 4 and entry["changed"]["flip"] == "random"
    assert program.values(["compile=max-autotune", "lr=1e-3", "epochs=80", "half='no'"]) == {
        "compile": "max-autotune", "lr": 1e-3, "epochs": 80, "half": "no"}


@pytest.mark.parametrize("words, sentence", [
    (["--set", "speed=3"], "--set speed=3: say FIELD=VALUE, FIELD one of net, width, .*, as_bytes."),
    (["--set", "epochs"], "--set epochs: say FIELD=VALUE, .*"),
    (["--rung", "muon"], "no rung is called 'muon': choose one of a plain loop, .*, Hiverge's rates."),
    (["--final", "fastest"], "no rung is called 'fastest': choose one of a plain loop, .*, Hiverge's rates."),
    (["--rung-runs", 0], "--runs must be at least 0 and --rung-runs at least 1."),
    (["--runs", -1], "--runs must be at least 0 and --rung-runs at least 1."),
    (["--cifar100"], "--data and --cifar100 exclude each other: say one of them."),
])
def test_what_is_wrong_is_one_sentence_before_any_work(do, fake, words, sentence):
    code, out, err = do("--small", "--data", "i.npz", "--record", "r.json", "--ladder", *words)
    assert code == 2 and out == "" and not fake.made
    assert re.fullmatch("python -m micro.speedrun: " + sentence + "\n", err)


def test_without_a_gpu_a_full_run_is_refused(do, fake):
    code, out, err = do("--data", "i.npz")
    assert code == 2 and out == "" and not fake.made
    assert err.startswith("python -m micro.speedrun: there is no CUDA GPU here") and "--small" in err
    assert err.count("\n") == 1


def test_images_that_are_not_there(do, fake):
    code, out, err = do("--small", "--data", "none.npz")
    assert code == 2 and out == "" and "none.npz" in err and err.count("\n") == 1
    with open("bad.npz", "wb") as file:
        file.write(b"nonsense")
    code, out, err = do("--small", "--data", "bad.npz")
    assert code == 2 and out == "" and "bad.npz" in err and err.count("\n") == 1


def test_too_few_images_are_one_sentence(do):
    save(tiny(100, 20, 18))
    code, _, err = do("--small", "--data", "i.npz", "--runs", 1)
    assert code == 2 and "100 training images do not fill a batch of 250: take a smaller one." in err


def test_tuning_sees_no_test_image(do, fake):
    images = tiny(300, 20, 18)
    poison = images._replace(test_images=255 - images.test_images * 0, test_labels=images.test_labels * 0 + 3)
    save(poison)
    code, out, _ = do("--small", "--data", "i.npz", "--tune", "--runs", 1, "--record", "r.json")
    assert code == 0 and "270 training images, 30 to test on" in out
    for run in fake.made:
        got = run.images
        assert np.array_equal(got.train_images, images.train_images[:270])
        assert np.array_equal(got.train_labels, images.train_labels[:270])
        assert np.array_equal(got.test_images, images.train_images[270:])
        assert np.array_equal(got.test_labels, images.train_labels[270:])
        assert got.source == "i.npz, 30 held out"
    with open("r.json", encoding="utf-8") as file:
        assert list(json.load(file)["claims"]) == ["i.npz, 30 held out"]


def test_tuning_trains_though_the_test_labels_are_poison(do):
    # Classes that the net does not have: whoever looks at them is seen.
    images = tiny(280, 20, 17)
    seen = images._replace(test_labels=images.test_labels * 0 + 10**6, test_images=None)
    kept = program.held_out(seen)
    assert kept.test_labels.max() < 4 and len(kept.train_labels) + len(kept.test_labels) == 280
    run = program.Run(shrink(recipe("whitening"), 1 / 8, 126, 1), kept, torch.device("cpu"))
    assert 0 <= run.once(0).accuracy <= 1


def test_held_out_is_5000_of_a_full_set():
    n = 50_000
    x, y = np.zeros((n, 1, 1, 3), np.uint8), np.arange(n)
    kept = program.held_out(tiny(1, 1)._replace(train_images=x, train_labels=y))
    assert len(kept.train_labels) == 45_000 and kept.test_labels.tolist() == list(range(45_000, n))
    assert kept.source == "patterns, 5,000 held out"


def test_small_takes_8000_images_and_2000(do, fake):
    images = tiny(8100, 2100, 4)
    save(images)
    code, out, _ = do("--small", "--data", "i.npz", "--runs", 1)
    assert code == 0 and "i.npz: 8,000 training images, 2,000 to test on" in out
    got = fake.made[0].images
    assert np.array_equal(got.train_labels, images.train_labels[:8000]) and len(got.train_images) == 8000
    assert np.array_equal(got.test_images, images.test_images[:2000]) and len(got.test_labels) == 2000


def test_cifar10_unless_told_otherwise(do, fake, monkeypatch):
    monkeypatch.setattr(program, "cifar10", lambda: tiny(300, 20, 8)._replace(source="CIFAR-10"))
    monkeypatch.setattr(program, "cifar100", lambda: tiny(300, 20, 8)._replace(source="CIFAR-100"))
    for words, source in [([], "CIFAR-10"), (["--cifar100"], "CIFAR-100")]:
        code, out, _ = do("--small", "--runs", 1, *words)
        assert code == 0 and f", {source}: 300 training images" in out and fake.made[-1].images.source == source


def test_on_a_gpu_the_record_has_its_place(do, fake, monkeypatch, tmp_path):
    monkeypatch.setattr(program, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(program.measure, "where", lambda here: {"device": "a GPU", "versions": {"torch": "2"}})
    monkeypatch.setattr(program.measure, "kernels", lambda run: 77)
    monkeypatch.setattr(program.measure, "device_name", lambda device: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: tidied.append("cache"))
    monkeypatch.setattr(torch.compiler, "reset", lambda: tidied.append("code"))
    tidied, path = [], tmp_path / "data" / "results" / "speedrun.json"
    monkeypatch.setattr(program, "RESULTS", path)
    monkeypatch.setattr(program, "cifar10", lambda: tiny(300, 20, 8)._replace(source="CIFAR-10"))
    code, out, _ = do("--rung", "Muon", "--runs", 1)
    assert code == 0 and path.exists() and tidied == ["code", "cache"] and "kernels" not in out
    assert fake.made[0].recipe == recipe("Muon")            # in full: nothing is shrunk
    assert re.search(r"\d\.\d% of peak", out)
    assert program.RESULTS is path and math.isfinite(json.loads(path.read_text())["rungs"]["Muon"]["share_of_peak"])
    fake.made.clear()
    code, out, _ = do("--rung", "Muon", "--kernels")
    assert code == 0 and "77 kernels a step" in out and [run.seeds for run in fake.made] == [[]]  # nothing is timed
    book = json.loads(path.read_text())
    assert book["kernels"]["Muon"]["kernels_per_step"] == 77 and "n" in book["rungs"]["Muon"]


@pytest.mark.parametrize("words", [["--small"], ["--tune"], ["--data", "i.npz"], ["--cifar100"], ["--set", "shift=1"]])
def test_runs_of_another_kind_do_not_overwrite_the_record(do, fake, monkeypatch, tmp_path, words):
    monkeypatch.setattr(program, "device", lambda: torch.device("cuda"))
    monkeypatch.setattr(program.measure, "device_name", lambda device: "NVIDIA H100")
    monkeypatch.setattr(program.measure, "where", lambda here: {"device": "a GPU", "versions": {"torch": "2"}})
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    for name in ("cifar10", "cifar100"):
        monkeypatch.setattr(program, name, lambda: tiny(300, 20, 8))
    monkeypatch.setattr(program, "RESULTS", tmp_path / "speedrun.json")
    assert do("--rung", "Muon", "--runs", 1, *words)[0] == 0 and not program.RESULTS.exists()


def test_a_finished_run_is_gone_before_the_next_is_made(do, fake):
    """A CUDA graph that is collected while another is recorded spoils it."""
    alive = []

    class Kept(fake):
        def __init__(self, *what):
            super().__init__(*what)
            type(self).made.clear()
            gc.collect()
            assert not [ref for ref in alive if ref() is not None]
            alive.append(weakref.ref(self))
            self.me = self  # as a Run, which holds functions of its own

    program.Run = Kept
    try:
        assert do("--small", "--data", "i.npz", "--rung", "Muon", "--rung", "lookahead", "--runs", 0)[0] == 0
    finally:
        program.Run = fake
    assert len(alive) == 2


@pytest.mark.parametrize("field", ["epochs=abc", "epochs=0", "batch_size=0", "batch_size=2.5", "sizes=3", "width=abc",
                                   "net=foo", "schedule=lin", "views=3", "muon=no", "shift=-1", "compile=fast",
                                   "lr=-1", "momentum=True"])
def test_a_value_that_no_run_could_mean_is_one_sentence(do, fake, field):
    code, out, err = do("--small", "--data", "i.npz", "--set", field)
    assert code == 2 and out == "" and not fake.made
    assert re.fullmatch(r"python -m micro\.speedrun: a recipe's \w+ must be .*, not .*\.\n", err)
    assert field.partition("=")[0] in err


def test_no_recording_within_a_recording():
    with pytest.raises(ValueError, match="max-autotune-no-cudagraphs"):
        recipe("one CUDA graph", compile="max-autotune")


def test_a_device_that_is_not_there_is_one_sentence(do, fake, monkeypatch):
    def none():
        raise RuntimeError("MICRO_DEVICE asks for the device 'cuda', but PyTorch finds none.")
    monkeypatch.setattr(program, "device", none)
    code, out, err = do("--small", "--data", "i.npz")
    assert code == 2 and out == "" and "MICRO_DEVICE asks" in err and "Traceback" not in err


def test_the_records_place_is_the_courses():
    import micro
    root = program.Path(micro.__file__).parent.parent
    source = program.Path(program.__file__).read_text(encoding="utf-8")
    assert 'RESULTS = Path(__file__).parents[2] / "data" / "results" / "speedrun.json"' in source
    assert program.Path(program.__file__).parents[2] == root


def test_a_row_in_words():
    row = {"seconds": {"mean": 0.98765}, "accuracy": {"mean": 0.94021, "error": 0.0001}, "n": 100,
           "images_per_second": 450_000.4, "share_of_peak": 0.345}
    assert program.measure.line(row, 310) == (
        "0.988 s, 94.02% ± 0.010%, n=100, 450,000 images/s, 34.5% of peak, 310 kernels a step")
    row |= {"accuracy": {"mean": 0.94021, "error": None}, "n": 1, "share_of_peak": None}
    assert program.measure.line(row) == "0.988 s, 94.02%, n=1, 450,000 images/s"


def test_help_names_every_rung_and_option(capsys):
    with pytest.raises(SystemExit) as stop:
        program.main(["--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0 and all(f"  {name}\n" in out for name in names())
    for option in "runs final ladder rung rung-runs minutes set data source cifar100 tune small kernels record".split():
        assert f"--{option}" in out
    args = program.parser().parse_args([])
    assert (args.runs, args.final, args.rung_runs, args.minutes) == (100, names()[-1], 5, 2.0)
