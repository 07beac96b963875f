"""What the README says holds: links, the map of the course, the code in it, the measured figures."""
import json
import re
import subprocess
import sys

from tests import helpers

TEXT = (helpers.ROOT / "README.md").read_text(encoding="utf-8")
PLAN = ["01 micrograd", "02 bigram", "03 mlp", "04 diagnostics", "05 backprop", "06 wavenet", "07 gpt", "08 bpe",
        "09 images", "10 layers", "11 debugging", "12 training", "13 speedrun"]


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXT):
        if not target.startswith("http"):
            assert (helpers.ROOT / target).exists(), target


def test_map_names_every_notebook_and_says_which_are_coming():
    rows = {m[1]: m[0] for m in re.finditer(r"^\| \[?(\d\d \w+)\]?.*$", TEXT, re.M)}
    assert list(rows) == PLAN
    for entry, row in rows.items():
        name = entry.replace(" ", "_")
        if name in helpers.NAMES:
            assert f"(notebooks/{name}.ipynb)" in row and re.search(r"\d+ s \|$", row), row
        else:
            assert "coming" in row, row
    assert set(helpers.NAMES) <= {e.replace(" ", "_") for e in PLAN}


def test_the_two_commands_stand_first():
    commands = re.findall(r"^(make \w+) ", TEXT, re.M)
    assert commands[:2] == ["make lab", "make test"]
    assert TEXT.index("make lab") < 800


def test_the_code_runs_and_prints_what_it_says():
    code = re.search(r"```python\n(.*?)```", TEXT, re.S)[1]
    said = re.search(r"# (.*)$", code, re.M)[1]
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=helpers.ROOT)
    assert out.stdout.strip() == said


def test_measured_figures_are_those_recorded():
    result = json.loads((helpers.ROOT / "data" / "results" / "engine.json").read_text(encoding="utf-8"))
    ours, theirs = result["step"]["micro"]["ms"], result["step"]["micrograd"]["ms"]
    assert f"in {ours:.0f} ms where micrograd, its model, takes {theirs:,.0f} ms" in TEXT.replace("\n", " ")
    assert theirs / ours >= 20
    assert f"ends at {result['longest_chain']['micrograd']}" in TEXT


def recorded(name):
    return json.loads((helpers.ROOT / "data" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def test_the_maps_results_are_those_recorded():
    rows = {m[1]: m[0] for m in re.finditer(r"^\| \[?(\d\d) \w+\]?.*$", TEXT, re.M)}
    ours, lecture = (recorded("mlp")["recipes"][name] for name in ("ours, 2,000 steps", "lecture, 200,000 steps"))
    dev = float(re.search(r"(\d\.\d+) in (\d) s of training", rows["03"])[1])
    assert abs(dev - ours["dev_runs"][0]) < 0.001 and f"in {ours['seconds']:.0f} s of training" in rows["03"]
    assert f"the lecture's recipe has {lecture['dev']:.3f} after a minute" in rows["03"]
    assert 45 < lecture["seconds"] < 75
    wave, loop = recorded("wavenet")["parts"]["WaveNet"], recorded("wavenet")["log"]["tree, scaled up, lecture's loop"]
    assert abs(float(re.search(f"{wave['dev']:.2f} in (\\d+) s", rows["06"])[1]) - wave["seconds"]) < 3
    assert f"the lecture's loop has {loop['dev']:.3f} after five minutes" in rows["06"] and 240 < loop["seconds"] < 330
    assert f"six layers at {recorded('diagnostics')['six_layers']['dev']:.2f}" in rows["04"]
    peer = recorded("gpt")["peer"]
    ours, nano = peer["ours, 600 steps"], peer["nanoGPT's CPU recipe"]
    assert f"{ours['loss_runs'][0]:.2f} in {ours['seconds']:.0f} s on one core" in rows["07"]
    assert f"nanoGPT's recipe has {nano['loss']:.3f} after {nano['seconds']:.0f} s" in rows["07"]
    assert max(ours["loss_runs"]) < min(nano["loss_runs"]) and ours["seconds"] < nano["seconds"] / 4
    mini = {name: 100 * row["accuracy"]["mean"] for name, row in recorded("speedrun_small")["rungs"].items()}
    assert f"{mini['Muon']:.1f}% of photographs where the plain small net has {mini['a small net']:.1f}%" in rows["13"]
    assert ("not yet measured" in TEXT) == (not (helpers.ROOT / "data" / "results" / "speedrun.json").exists())
    zoo = recorded("layers")
    behind = zoo["flat_norms"]["2"]["batch"]["loss"]["mean"] - zoo["flat_norms"]["2"]["layer"]["loss"]["mean"]
    ahead = zoo["gated"]["GELU"]["loss"]["mean"] - zoo["gated"]["SwiGLU"]["loss"]["mean"]
    assert f"in batches of two ends {behind:.2f} nats behind layer norm" in rows["10"]
    assert f"a SwiGLU {ahead:.2f} ahead of a GELU of equal size" in rows["10"]
    best = {(kind, batch): float(min(rates, key=lambda lr: sum(rates[lr]))) for kind, by in
            recorded("training")["valley"].items() for batch, rates in by.items()}
    sgd, adam = (round(best[kind, "256"] / best[kind, "16"]) for kind in ("SGD", "AdamW"))
    assert f"SGD's best rate grows {sgd}-fold from batches of 16 to 256, AdamW's {adam}-fold" in rows["12"]
    tokens = recorded("bpe")
    assert f"OpenAI's tokens on {tokens['fuzz']['texts']:,} random texts" in rows["08"]
    assert tokens["fuzz"]["differ"] == 0
    bits = {(row["vocab_size"], row["budget_seconds"]): row["bits_per_byte"] for row in tokens["sizes"]}
    assert "512 tokens give a small GPT in 30 s what bytes give in 120 s" in rows["08"]
    assert abs(bits[512, 30] - bits[256, 120]) < 0.01
    large = tokens["speed"]["train, 1.18 MB to 4,096"]
    said = f"1.18 MB in {large['micro']:.2f} s of pure Python (Hugging Face's tokenizers, in Rust: " \
           f"{large['tokenizers']:.2f} s on the same core"
    assert said in TEXT.replace("\n", " ")
