"""micro.check.bugs and the checks of notebook 11.

The program is right by an independent reference, each bug changes it, and each solution finds its bug. Also tested: the
second program with its three faults, and how the bench measures the bugs.
"""
import copy
import difflib
import itertools
import json
import math
import types
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from micro.check import ch11_debugging as checks
from micro.check import typed
from micro.check.bugs import EDITS, LETTERS, REPAIRS, SECOND, TEXT, edit, listing, numbered, program, repaired, text
from micro.data import drawn, names
from tests import helpers
from tests.bench import training as bench
from tests.helpers import bell, one_thread  # noqa: F401 (a fixture is used by being there)

many = settings(max_examples=40, derandomize=True, deadline=None, database=None)
each_bug = pytest.mark.parametrize("bug", EDITS, ids=lambda bug: f"{bug}-{EDITS[bug][0].replace(' ', '-')}")


def changed(before, after):
    """(lines taken out, lines put in)."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return [line[2:] for line in lines if line[0] == "-"], [line[2:] for line in lines if line[0] == "+"]


# --- the edits ---------------------------------------------------------------------------


def test_seventeen_bugs_and_three_faults():
    assert list(EDITS) == list(range(1, 18)) and len({name for name, _ in EDITS.values()}) == 17 and len(REPAIRS) == 3
    assert LETTERS == "." + "".join(map(chr, range(97, 123)))


@each_bug
def test_a_bug_is_an_edit_of_a_few_lines(bug):
    for old, new in EDITS[bug][1]:
        assert TEXT.count(old) == 1 and old != new
    compile(text(bug), "patient", "exec")
    lines = edit(bug).split("\n")
    before, after = ("\n".join(line[1:] for line in lines if line[:1] != sign) for sign in "+-")
    assert TEXT.count(before) == 1 and TEXT.replace(before, after) == text(bug) != TEXT
    signs = "".join(line[:1] for line in lines)
    assert signs[0] == " " and 1 <= signs.count("-") <= 2 and signs.count("+") <= 2 and len(lines) <= 8


def test_without_a_bug_the_text_is_the_file():
    assert text() == TEXT == (helpers.ROOT / "micro" / "check" / "bugs" / "healthy.py").read_text(encoding="utf-8")
    assert SECOND == (helpers.ROOT / "micro" / "check" / "bugs" / "second.py").read_text(encoding="utf-8") == repaired()
    assert program() is program() and program(3) is program(3) is not program()


def test_bugs_go_together_in_any_order():
    for pair in itertools.combinations(EDITS, 2):
        both = text(*pair)
        assert both == text(*pair[::-1]) and all(both.count(new) >= 1 for k in pair for _, new in EDITS[k][1])
    run = program(1, 2)(seed=1)
    assert run.rows(["ab"])[1].tolist() == [0, 0.5, 1]
    chosen = torch.randint(len(run.train[0]), (64,), generator=torch.Generator().manual_seed(1000))
    assert torch.equal(run.batch()[0], run.train[0][chosen.sort().values])
    compile(text(*EDITS), "patient", "exec")


@pytest.mark.parametrize("bug", [0, 18, "3", None])
def test_a_bug_that_does_not_exist(bug):
    for ask in (text, edit, program):
        with pytest.raises(KeyError, match=f"there is no bug {bug!r}; they are numbered 1 to 17"):
            ask(bug)


def test_bugs_that_edit_the_same_line_are_refused(monkeypatch):
    again = "bug {} edits a line that another one has changed: take them one by one"
    with pytest.raises(ValueError, match=again.format(3)):
        text(3, 3)
    monkeypatch.setitem(EDITS, 18, ("no loss", [("logp = F.log_softmax(logits, dim=1)", "logp = logits")]))
    for pair in ((5, 18), (18, 5)):
        with pytest.raises(ValueError, match=again.format(pair[1])):
            text(*pair)
    monkeypatch.setitem(EDITS, 18, ("everywhere", [("place", "plaice")]))
    with pytest.raises(ValueError, match=again.format(18)):
        text(18)


def test_listing_shows_what_is_named():
    shown = listing("Net.forward", "Program.evaluate", "Program.step", bugs=(3,)).data
    assert shown.startswith("```") and shown.endswith("\n```")
    assert shown.split("\n")[1].startswith("def forward(self, context, place):")      # methods begin at the left
    assert "(B, 27)\n\n@torch.no_grad()\ndef evaluate" in shown
    assert "    return loss, right\n\ndef step" in shown
    assert "zero_grad" not in shown and "zero_grad" in listing("Program.step").data
    net = listing("Net").data.split("\n")
    assert net[1] == "class Net(nn.Module):" and net[-2].strip().startswith("return self.outer(h)")
    for name in ("Nett", "step"):
        with pytest.raises(KeyError, match=f"has no '{name}'; it has Net, Net.__init__,.* Program.step"):
            listing("Net", name)


@pytest.mark.parametrize("source", [None, TEXT, "one\n\ntwo\n\n"])
def test_numbered_lines(source):
    shown = (numbered() if source is None else numbered(source)).data.split("\n")
    assert shown[0].startswith("```") and shown[-1] == "```" and shown[-2].strip()
    lines = (source or SECOND).split("\n")
    assert shown[1:-1] == [f"{k:2d}  {line}" for k, line in enumerate(lines[:len(shown) - 2], 1)]
    assert not "".join(lines[len(shown) - 2:]).strip()


# --- the healthy program -----------------------------------------------------------------


@cache
def twenty():
    """Healthy programs; copy before use."""
    return [program()(seed, steps=60) for seed in range(20)]


def healthy(seed=1, steps=0):
    run = copy.deepcopy(twenty()[seed])
    torch.manual_seed(seed)
    for _ in range(steps):
        run.step()
    return run


@many
@given(st.integers(0, 2**31), st.integers(1, 70), st.floats(0.1, 20))
def test_loss_is_cross_entropy(seed, n, width):
    logits, target = width * bell(seed, n, 27), torch.randint(27, (n,), generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(twenty()[0].loss_of(logits, target), F.cross_entropy(logits, target))


def test_evaluate_is_one_formula_over_all_rows_whatever_the_size():
    run = healthy(steps=30)
    state = copy.deepcopy(run.model.state_dict())
    exact = copy.deepcopy(run.model).double().eval()
    for data in (None, tuple(t[:101] for t in run.train)):
        context, place, target = data or run.val
        with torch.no_grad():
            logits = exact(context, place.double())
        loss = (logits.exp().sum(1).log() - logits.gather(1, target[:, None])[:, 0]).mean().item()
        right = (logits.argmax(1) == target).double().mean().item()
        for size in (1, 7, 100, len(target) - 1, len(target), 10**6):
            assert run.evaluate(data, size) == pytest.approx((loss, right), rel=1e-5)
        assert run.evaluate(data) == pytest.approx((loss, right), rel=1e-5) and 2 < loss < 3 and 0.1 < right < 0.4
    assert run.model.training and all(torch.equal(t, state[k]) for k, t in run.model.state_dict().items())
    assert torch.is_grad_enabled()


@many
@given(st.lists(st.text("abcxyz", min_size=1, max_size=9), min_size=1, max_size=5))
def test_rows_are_every_letter_after_three(words):
    context, place, target = twenty()[0].rows(words)
    read = ["".join(LETTERS[k] for k in row) for row in context.tolist()]
    wanted = [("..." + w + ".", i) for w in words for i in range(len(w) + 1)]
    assert read == [w[i:i + 3] for w, i in wanted] and place.tolist() == [i for _, i in wanted]
    assert [LETTERS[k] for k in target.tolist()] == [w[i + 3] for w, i in wanted] and place.dtype == torch.float32


def test_prepare_knows_the_training_places_alone():
    run = healthy()
    places = np.array([i for w in run.train_words for i in range(len(w) + 1)], dtype=float)
    for words in (run.train_words, run.val_words, ["al"]):
        ours = [torch.equal(a, b) for a, b in zip(run.prepare(words)[::2], run.rows(words)[::2])]
        wanted = [(i - places.mean()) / places.std(ddof=1) for w in words for i in range(len(w) + 1)]
        assert ours == [True, True] and run.prepare(words)[1].tolist() == pytest.approx(wanted, abs=1e-5)
    for data, words in ((run.train, run.train_words), (run.val, run.val_words)):
        assert all(torch.equal(a, b) for a, b in zip(data, run.prepare(words)))


def test_split_is_disjoint_and_shuffled():
    for run in twenty()[:3]:
        train, val = set(run.train_words), set(run.val_words)
        assert (len(run.train_words), len(train), len(run.val_words), len(val)) == (2700, 2700, 300, 300)
        assert not train & val and train | val <= set(names()) and run.val_words != sorted(run.val_words)
    assert twenty()[0].val_words != twenty()[1].val_words


def test_groups_cover_every_parameter_once():
    run = healthy()
    groups = run.groups()
    found = [id(p) for group in groups for p in group["params"]]
    assert sorted(found) == sorted(map(id, run.model.parameters())) and len(set(found)) == 6
    assert [(g["weight_decay"], {p.ndim for p in g["params"]}) for g in groups] == [(0.1, {2}), (0.0, {1})]
    assert [(g["weight_decay"], list(map(id, g["params"]))) for g in run.optimizer.param_groups] == [
        (g["weight_decay"], list(map(id, g["params"]))) for g in groups]


def test_the_rate_falls_in_a_line_and_is_used():
    run, used = healthy(), []
    run.optimizer.register_step_pre_hook(lambda *_: used.append([g["lr"] for g in run.optimizer.param_groups]))
    first = [run.step() for _ in range(10)]
    rest = run.learn()
    assert (len(first), len(rest), run.done, run.learn()) == (10, 50, 60, []) and rest[-1] < first[0]
    assert [u[0] for u in used] == pytest.approx([0.02 * (60 - k) / 60 for k in range(60)])
    assert all(len(set(u)) == 1 for u in used) and first[0] == pytest.approx(math.log(27), abs=1e-5)


def test_batches_come_from_the_training_rows_in_turns():
    run = healthy(seed=3)
    g = [torch.Generator().manual_seed(3000 + k) for k in range(4)]
    assert run.epoch == len(run.train[0]) // 64
    for k in range(9):
        chosen = torch.randint(len(run.train[0]), (64,), generator=g[k % 4])
        assert all(torch.equal(a, b[chosen]) for a, b in zip(run.batch(), run.train))
    other = program()(3, batch_size=5, workers=1)
    one, two = other.batch(), other.batch()
    assert len(one[0]) == 5 and not torch.equal(one[0], two[0]) and other.epoch == len(other.train[0]) // 5


@pytest.mark.parametrize("times", [0.1, 100])
def test_a_step_is_adamw_with_the_gradient_clipped(times):
    """Four steps written out; a loss a hundred times as large meets the clipping in each of them."""
    run, twin = healthy(seed=2), healthy(seed=2)
    loss_of, lengths, used = run.loss_of, [], []
    run.optimizer.register_step_pre_hook(lambda *_: used.append(
        torch.cat([p.grad.flatten() for p in run.model.parameters()]).norm().item()))
    run.loss_of = lambda logits, target: times * loss_of(logits, target)
    params, moments = list(twin.model.parameters()), [(0, 0)] * 6
    torch.manual_seed(5)                                            # for dropout
    losses = [run.step() for _ in range(4)]
    torch.manual_seed(5)
    for t in range(1, 5):
        context, place, target = twin.batch()
        loss = times * F.cross_entropy(twin.model(context, place), target)
        assert losses[t - 1] == pytest.approx(loss.item(), rel=1e-4)
        grads, lr = torch.autograd.grad(loss, params), 0.02 * (61 - t) / 60
        lengths.append(torch.cat([g.flatten() for g in grads]).norm().item())
        for k, (p, grad) in enumerate(zip(params, grads)):
            grad = grad * min(1, 0.5 / lengths[-1])
            m, v = 0.9 * moments[k][0] + 0.1 * grad, 0.999 * moments[k][1] + 0.001 * grad**2
            moments[k] = m, v
            with torch.no_grad():
                p -= lr * ((0.1 if p.ndim > 1 else 0) * p + m / (1 - 0.9**t) / ((v / (1 - 0.999**t)).sqrt() + 1e-8))
    assert used == pytest.approx([min(0.5, length) for length in lengths], rel=1e-3)
    assert min(lengths) > 0.5 if times > 1 else max(lengths) < 0.5
    for ours, theirs in zip(run.model.parameters(), params):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


# --- what the bugs do --------------------------------------------------------------------


@cache
def small(*bugs):
    """The program with these bugs on 538 names: five times as quick to set up."""
    module = types.ModuleType("small")
    exec(text(*bugs), module.__dict__)
    module.names = lambda: names()[::60]
    return module.Program


def results_of(*bugs, seed=1):
    """What this program tells of one short run: its losses, its reports, and what comes after a bad batch."""
    run, found = small(*bugs)(seed, steps=60), {}
    found["losses"] = [run.step() for _ in range(40)]
    found["loss"], found["right"] = run.evaluate()
    found["in parts"] = run.evaluate(size=100)[0]
    found["alone"] = [run.evaluate(run.prepare([word]))[0] for word in run.val_words[:10]]
    torch.manual_seed(0)
    loss_of = run.loss_of
    run.loss_of = lambda logits, target: 100 * loss_of(logits, target)
    run.step()
    run.loss_of = loss_of
    found["later"] = [run.step() for _ in range(5)]
    return found


healthy_results = cache(results_of)
UNCHANGED = {6: {"losses", "later"}, 10: {"losses", "loss", "in parts", "alone", "later"}, 11: {"losses", "later"},
             13: {"losses", "later"}, 16: {"losses", "later"}, 17: {"losses", "right", "alone", "later"}}
TRAINED = {"losses", "loss", "in parts", "alone", "later"}          # what a bug in training changes
TOLD = {6: {"loss", "right"}, 10: {"right"}, 11: {"loss", "right"}, 13: {"loss", "alone"}, 15: {"later"},
        16: {"loss", "right"}, 17: {"in parts"}}


def test_healthy_runs_are_equal_digit_by_digit():
    assert results_of() == healthy_results()
    assert results_of(seed=2)["losses"] != healthy_results()["losses"]


@each_bug
def test_each_bug_changes_a_result(bug):
    """And where a bug can't be seen, it can't be seen in any digit."""
    ill, well = results_of(bug), healthy_results()
    assert all(math.isfinite(loss) for loss in ill["losses"] + ill["later"])
    differ = {name for name in well if ill[name] != well[name]}
    assert differ >= TOLD.get(bug, TRAINED) and not differ & UNCHANGED.get(bug, set()), differ


def test_what_the_stories_say_of_the_first_losses():
    assert small(5)(1).step() == pytest.approx(math.log(64), abs=1e-5)
    run = small(4)(1)
    context, place, _ = run.batch()
    assert torch.allclose(run.model(context, place).sum(1), torch.ones(64))
    assert run.loss_of(torch.eye(27), torch.arange(27)).item() == pytest.approx(math.log(math.e + 26) - 1, abs=1e-5)


# --- what finds them ---------------------------------------------------------------------


@cache
def detector(bug):
    """The notebook's solution, alone after the notebook's imports."""
    space = {"__name__": "learner"}
    solution = {number: solution for number, _, solution in helpers.exercises("11_debugging")}[f"11_{bug}"]
    exec(f"{helpers.imports('11_debugging')}\n{solution}", space)
    return next(value for value in reversed(space.values()) if getattr(value, "__module__", "") == "learner")


@each_bug
def test_the_solution_fires_on_its_patient(bug):
    assert detector(bug)(program(bug)(50)) in (True,)
    for seed in range(5):
        assert detector(bug)(small(bug)(seed)) in (True,), seed


@each_bug
def test_the_solution_is_silent_on_the_healthy(bug):
    for seed in range(20):
        assert detector(bug)(healthy(seed)) in (False,), seed


# --- the checks --------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """Programs that hold nothing but their bugs and seed; and a list of all that were made. FOUND is kept."""
    made = []

    def fake(seed, *bugs):
        made.append(SimpleNamespace(bugs=bugs, seed=seed, ill=bool(bugs), n=len(made) % 5))
        return made[-1]
    monkeypatch.setattr(checks, "made", fake)
    monkeypatch.setattr(checks, "FOUND", set())
    return made


def forgot(run):
    ill = run.ill  # noqa: F841 (the mistake is that nothing is returned)


def on_the_ill(run):
    return run.ill and 1 / 0 > 1


def two_lines(run):
    raise RuntimeError("sizes differ\nsecond line")


@pytest.mark.parametrize("answer, kind, says", [
    (lambda run: None, "not done", "11.3: not done yet"),
    (forgot, "error", "11.3: your function returned None: is a `return` missing?"),
    (lambda run: None if run.ill else False, "error", "is a `return` missing"),
    (lambda run: 0.3, "error", "return True (broken) or False, not 0.3"),
    (lambda run: torch.tensor(0.3), "error", "return True (broken) or False, not 0.3"),
    (lambda run: "yes", "error", "not 'yes'"),
    (lambda run: [], "error", "not []"),
    (lambda run: torch.tensor([True, False]), "error", "return True (broken) or False"),
    (lambda run: np.array([True, False]), "error", "return True (broken) or False"),
    (lambda run: 0.3 if run.ill else False, "error", "not 0.3"),
    (lambda run: run.no_such_thing, "error", "on the healthy program your code stopped with AttributeError: "),
    (on_the_ill, "error", "11.3: on patient 3 your code stopped with ZeroDivisionError: division by zero"),
    (two_lines, "error", "11.3: on the healthy program your code stopped with RuntimeError: sizes differ"),
    (lambda: True, "error", "TypeError"),
    (3, "error", "give the check your function"),
    (lambda run: True, "mistake", "11.3: " + checks.FALSE_ALARM),
    (lambda run: not run.ill, "mistake", "11.3: " + checks.FALSE_ALARM),
    (lambda run: run.ill or run.n == 4, "mistake", "11.3: " + checks.FALSE_ALARM),
    (lambda run: False, "mistake", "11.3: " + checks.SILENT),
    (lambda run: run.n == 1, "mistake", "11.3: " + checks.SILENT),
    (lambda run: run.n == 3, "mistake", "11.3: " + checks.SILENT),
    (lambda run: run.ill, "right", "11.3: found, it was: no zero_grad"),
    (lambda run: torch.tensor(run.ill), "right", "found"),
    (lambda run: torch.tensor([run.ill]), "right", "found"),
    (lambda run: np.bool_(run.ill), "right", "found"),
    (lambda run: int(run.ill), "right", "found"),
])
def test_each_kind_of_detector_has_its_message(asked, capsys, answer, kind, says):
    verdict = checks.ex11_3.judge(answer)
    assert verdict.kind == kind and says in verdict.text and "\n" not in verdict.text, verdict
    assert checks.FOUND == set()
    assert checks.ex11_3(answer) is None
    assert capsys.readouterr().out == f"{verdict}\n" + (edit(3) + "\n" if kind == "right" else "")
    assert checks.FOUND == ({3} if kind == "right" else set())


def test_a_detector_meets_runs_of_both_kinds(asked):
    checks.ex11_7.judge(lambda run: run.ill)
    assert len({run.seed for run in asked}) == len(asked) == 5
    assert [run.bugs for run in asked].count((7,)) == 2 and {run.bugs for run in asked} == {(), (7,)}


def test_a_detector_meets_untouched_runs(monkeypatch):
    """What one detector does to a run, or to the random numbers, no later one sees."""
    monkeypatch.setattr(checks, "made", cache(lambda seed, *bugs: small(*bugs)(seed)))
    seen = []

    def detect(run):
        seen.append((run.done, run.drawn, torch.rand(1).item(), run.step()))
        return bool(set(run.train_words) & set(run.val_words))
    assert [checks.ex11_7.judge(detect).kind for _ in range(2)] == ["right", "right"]
    assert seen[:5] == seen[5:] and {s[:2] for s in seen} == {(0, 0)} and len(set(seen)) == 5


def test_the_runs_made_are_the_programs():
    for seed, *bugs in ((5,), (6, 7)):
        run = checks.made(seed, *bugs)
        assert type(run) is program(*bugs) and run.workers[0].initial_seed() == 1000 * seed and run.done == 0


def test_every_bug_has_its_check(asked):
    for bug in EDITS:
        check = getattr(checks, f"ex11_{bug}")
        assert (check.name, check.bug, set(check.mistakes)) == (f"11.{bug}", bug, {checks.FALSE_ALARM, checks.SILENT})
        assert check.judge(lambda run: run.ill).text == f"11.{bug}: found, it was: {EDITS[bug][0]}"
        for says, mistake in check.mistakes.items():
            assert check.judge(typed(mistake, check.name)).text == f"11.{bug}: {says}"


def test_the_scoreboard_counts_what_was_found(monkeypatch, capsys):
    monkeypatch.setattr(checks, "FOUND", set())
    monkeypatch.setattr(checks, "made", lambda seed, *bugs: small(*bugs)(seed))
    checks.scoreboard()
    assert capsys.readouterr().out == "0 of 17 found: " + " ".join(f"☐{k}" for k in range(1, 18)) + "\n"
    checks.ex11_7(lambda run: bool(set(run.train_words) & set(run.val_words)))        # no fake
    assert capsys.readouterr().out.startswith("✔ 11.7: found, it was: validation names in training\n")
    checks.FOUND.add(17)
    checks.scoreboard()
    told = capsys.readouterr().out.split()
    assert told[:4] == ["2", "of", "17", "found:"] and [box for box in told if "☑" in box] == ["☑7", "☑17"]


A, B, C = (sorted(lines) for lines in checks.LINES)


@pytest.mark.parametrize("answer, kind, says", [
    (lambda: None, "not done", "11.18: not done yet"),
    (lambda: [A[0], B[0]], "error", f"11.18: return a list of three line numbers, not [{A[0]}, {B[0]}]"),
    (lambda: [*A, *B, *C], "error", "three line numbers"),
    (lambda: 12, "error", "not 12"),
    (lambda: "123", "error", "not '123'"),
    (lambda: [A[0], B[0], float(C[0])], "error", "three line numbers"),
    (lambda: [A[0], B[0], True], "error", "three line numbers"),
    (lambda: 1 / 0, "error", "11.18: your code stopped with ZeroDivisionError: division by zero"),
    ([1, 2, 3], "error", "give the check your function"),
    (lambda: [A[0], B[0], 2], "mistake", "11.18: 2 of 3 found; healthy: line 2"),
    (lambda: [3, B[0], 2], "mistake", "11.18: 1 of 3 found; healthy: line 2, line 3"),
    (lambda: [3, 1, 2], "mistake", "11.18: 0 of 3 found; healthy: line 1, line 2, line 3"),
    (lambda: [B[0], B[1], C[0]], "mistake", "11.18: 2 of 3 found; two of your lines are the same fault"),
    (lambda: [A[0], B[0], C[0]], "right", "11.18: all three: reshape moves"),
    (lambda: (C[-1], A[-1], B[-1]), "right", "all three"),
    (lambda: {C[1], A[0], B[1]}, "right", "all three"),
])
def test_each_kind_of_three_lines_has_its_message(capsys, answer, kind, says):
    verdict = checks.ex11_18.judge(answer)
    assert verdict.kind == kind and says in verdict.text, verdict
    checks.ex11_18(answer)
    assert capsys.readouterr().out == f"{verdict}\n"


def test_the_lines_are_those_that_a_repair_touches():
    lines = SECOND.split("\n")
    for fault, named, texts in zip(REPAIRS, checks.LINES, (
            ["return pictures.reshape(-1, 3, 16, 16), torch.from_numpy(images.train_labels)"],
            ["x, y = with_mirrored(*load())", "(x, y), val = split(x, y)"],
            ["net.eval()", "for _ in range(epochs):", "history.append(judged(net, *val))"])):
        assert [lines[k - 1].strip() for k in sorted(named)] == texts
        out, put = changed(SECOND, repaired(fault))
        assert 0 < len(put) <= 2 and set(map(str.strip, out)) <= set(texts)
        start = next(k for k, (a, b) in enumerate(zip(lines, repaired(fault).split("\n")), 1) if a != b)
        assert {start, start - 1} & named
        assert all(SECOND.count(old) == 1 and old not in repaired(fault) or new == put for old, new in REPAIRS[fault]
                   if old not in new)
    assert not set(A) & set(B) and not set(B) & set(C) and not set(A) & set(C)


# --- the second program ------------------------------------------------------------------------


def second_program(*faults, n=200):
    """The module without these faults, on n pictures; `seen` keeps what its net sees in training and in judging."""
    module = types.ModuleType("second")
    exec(repaired(*faults), module.__dict__)
    module.load.__defaults__, module.drawn = (n,), cache(drawn)
    net, module.seen = module.Net, {"learn": [], "judge": []}

    class Watched(net):
        def forward(self, x):
            module.seen["learn" if torch.is_grad_enabled() else "judge"].append((self.training, x))
            return super().forward(x)
    module.Net = Watched
    return module


def flaws(module, n):
    """Which of the three faults show in what the net saw, by the order of REPAIRS."""
    true = torch.from_numpy(drawn(n, 1).train_images[:, ::2, ::2]).permute(0, 3, 1, 2) / 127.5 - 1
    true = {tuple(x.flatten().tolist()) for picture in true for x in (picture, picture.flip(2))}
    learnt, judged = ({tuple(x.flatten().tolist()) for _, batch in module.seen[what] for x in batch}
                      for what in ("learn", "judge"))
    mirrored = {tuple(torch.tensor(x).view(3, 16, 16).flip(2).flatten().tolist()) for x in judged}
    assert not learnt & judged and not any(training for training, _ in module.seen["judge"])
    return [not learnt | judged <= true, bool(mirrored & learnt), not all(mode for mode, _ in module.seen["learn"])]


@cache
def history(*faults):
    module = second_program(*faults)
    told = module.main(seed=1, epochs=3, batch=20)
    return told, flaws(module, 200)


def test_the_second_program_has_three_faults_and_no_error():
    told, found = history()
    assert found == [True, True, True] and len(told) == 3 and all(0 <= share <= 1 for share in told)


@pytest.mark.parametrize("fault", REPAIRS)
def test_a_repair_mends_its_fault_alone_and_changes_the_result(fault):
    told, found = history(fault)
    assert told != history()[0] and found == [other != fault for other in REPAIRS]
    if fault == list(REPAIRS)[2]:
        assert told[0] == history()[0][0]                           # the first epoch was in train mode


def test_all_repairs_go_together_and_help():
    assert len({repaired(*order) for order in itertools.permutations(REPAIRS)}) == 1
    assert history(*REPAIRS)[1] == [False, False, False]
    well, ill = (second_program(*faults, n=600).main(epochs=8, batch=32)[-1] for faults in (REPAIRS, ()))
    assert well > ill + 0.1                                         # 0.40 and 0.10
    with pytest.raises(KeyError):
        repaired("another fault")


# --- the bench ---------------------------------------------------------------------------


@pytest.fixture
def do(tmp_path, monkeypatch, capsys):
    """main with two parts that measure nothing, and one that stops."""
    monkeypatch.setenv("MICRO_PROGRESS", "1")
    loaded = []

    def stops(nb):
        raise EOFError
    parts = {"one": lambda nb: [nb["x"]], "two": lambda nb: {"ä": [nb["x"], 2.5]}, "stops": stops}

    def main(words, load=lambda: loaded.append(1) or {"x": len(loaded)}):
        return bench.main(words, tmp_path / "t.json", parts, load)
    return helpers.runner(main, capsys), tmp_path / "t.json"


def test_the_bench_records_part_by_part(do):
    run, path = do
    assert run("--only", "one")[0] is None and not path.exists()
    path.write_text(json.dumps({"two": "old", "gone": [7], "date": "long ago"}))
    assert run("--record", "--only", "one")[0] is None
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert (kept["one"], kept["two"]) == ([2], "old") and kept["date"] != "long ago" and "gone" not in kept
    assert "--record" in kept["made_by"] and kept["torch"] == torch.__version__.split("+")[0]
    assert {"what", "date", "device", "python"} <= set(kept) and torch.get_num_threads() == 1
    path.unlink()
    with pytest.raises(EOFError):
        run("--record")
    whole = path.read_text(encoding="utf-8")
    assert '"ä"' in whole and whole.endswith("}\n") and json.loads(whole)["two"] == {"ä": [3, 2.5]}
    with pytest.raises(SystemExit):
        run("--only", "three")


def test_the_bench_tells_what_it_has(capsys):
    with pytest.raises(SystemExit):
        bench.main(["--help"])
    told = capsys.readouterr().out
    assert bench.__doc__.strip() in told and all(part in told for part in bench.PARTS)
    assert all(f.__name__ == name for name, f in bench.PARTS.items())
    assert set(bench.CELLS) <= set(helpers.named("12_training"))
    assert bench.RESULT == helpers.ROOT / "data" / "results" / "training.json"
    assert set(bench.PARTS) <= set(json.loads(bench.RESULT.read_text(encoding="utf-8")))


def test_lost_runs_count_as_99(capsys):
    assert bench.rounded([2.34567, math.inf, math.nan, 98.9, 1e6]) == [2.3457, 99.0, 99.0, 98.9, 99.0]
    assert bench.say("both", [1.0, math.nan]) == [1.0, 99.0] and "50.0000 ± 49.0000" in capsys.readouterr().out
    rows = {0.1: [math.nan, 1.0], 0.2: [2.4, 2.2], 0.4: [2.1, 2.6], 0.8: [math.inf, 2.0]}
    assert bench.best_of("kind", rows) == {"lr": 0.2, "loss": [2.4, 2.2]}
    assert "kind, lr 0.2" in capsys.readouterr().out


def test_names_asked_one_by_one_are_the_mean_over_letters():
    run = healthy(steps=20)
    whole = run.evaluate(run.prepare(run.val_words[:30]))[0]
    assert bench.one_by_one(run, 30) == pytest.approx(whole, rel=1e-5)
    assert bench.one_by_one(small(13)(1), 5) == pytest.approx(math.log(27), abs=1e-5)


def test_patients_are_measured_side_by_side(monkeypatch, capsys):
    """With programs that learn for a moment only: each net in its own program and in the healthy one."""
    monkeypatch.setattr(bench, "SEEDS", (1, 2))
    monkeypatch.setattr(bench, "EDITS", {1: EDITS[1]})
    monkeypatch.setattr(bench, "program", lambda *bugs: lambda seed: small(*bugs)(seed, steps=5))
    found = bench.patients(None)
    assert list(found) == ["0", "1"] and all(len(v) == 2 for row in found.values() for v in row.values())
    assert found["0"]["loss"] == found["0"]["in_healthy"] and found["1"]["loss"] != found["1"]["in_healthy"]
    run = small(1)(2, steps=5)
    run.learn()
    own = [*run.evaluate(), run.evaluate(run.train)[0]]
    twin = small()(2)
    twin.model = run.model
    for name, value in zip(("loss", "right", "train", "in_healthy"), [*own, twin.evaluate()[0]]):
        assert found["1"][name][1] == round(value, 4), name
    assert found["1"]["one_by_one"][1] == round(bench.one_by_one(run), 4)
