"""The command `compare`: trains a user's learner only, and ranks it among those of a bundle."""

import re
from pathlib import Path

import pytest

from adaptbench import load_results
from adaptbench.reports.sources.bundles import built_in

ONLY = ("--only", "train_classes=16")


@pytest.mark.slow
def test_a_learner_is_ranked_among_those_of_a_bundle(adaptbench, own_learners):
    ran = adaptbench("run", "smoke", *ONLY, "--wandb", "off", "--no-report")
    assert ran.returncode == 0, ran.stderr
    packed = adaptbench("submit", "runs")
    assert "smoke.zip: 8 of 16 runs of suite smoke" in packed.stdout and "(8 are not finished)" in packed.stdout

    compare = ("compare", "own.Sound", "--suite", "smoke.zip", *ONLY, "--wandb", "off", "--out", "mine")
    asked = adaptbench(*compare, "--detect", 10, "--seeds", 3, "--dry-run")
    assert asked.returncode == 0, asked.stderr
    assert "3 runs, about" in asked.stdout and "to see a difference of 10 % of the error" in asked.stdout
    assert not (adaptbench.folder / "mine").exists()

    done = adaptbench(*compare)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "On Sinusoids, 5-shot with 16 functions, Sound is number" in done.stdout
    runs = [path.parent.name for path in adaptbench.folder.glob("mine/[!.]*/result.json")]
    assert len(runs) == 2  # no baseline is trained
    report = adaptbench.folder / "mine" / "compare-Sound"
    for ending in ("md", "tex", "csv"):
        assert "LSTM" in (report / f"pairs-sinusoid.{ending}").read_text() or ending == "csv"
    assert (report / "index.html").is_file()
    with pytest.warns(UserWarning, match="No rows of 18 of 20 runs: "):
        runs, _ = load_results(adaptbench.folder / "mine", "smoke")
    assert set(runs["learner"]) == {"Sound"}

    assert "10 of 10 runs finished" in done.stdout, "nothing else is missing"
    again = re.search(r"adaptbench compare own\.Sound [^<]*", (report / "index.html").read_text())
    assert again[0].strip() == "adaptbench compare own.Sound --suite smoke.zip --only train_classes=16"
    tuned = adaptbench(*compare[:-1], "tuned", "--rates", "0.001,0.01", "--seeds", 1)
    assert tuned.returncode == 0 and "lists in no suite" not in tuned.stdout, tuned.stdout + tuned.stderr
    report = adaptbench.folder / "tuned" / "compare-Sound"
    assert "--rates 0.001,0.01 --seeds 1" in (report / "index.html").read_text()
    assert re.search(r"\| Sound \|.*\|.*\|", (report / "rates-sinusoid.md").read_text())

    other = adaptbench("compare", "lstm", "--encoder", "mlp", *compare[2:-1], "other")
    assert other.returncode == 0, other.stdout + other.stderr
    table = (adaptbench.folder / "other/compare-lstm/table-sinusoid.md").read_text()
    assert "| LSTM, bound |" in table and "| LSTM, bound (smoke.zip) |" in table
    assert (
        "adaptbench compare lstm --suite smoke.zip --only train_classes=16 --encoder mlp"
        in (adaptbench.folder / "other/compare-lstm/index.html").read_text()
    )


def test_the_agreement_with_larger_suites_is_the_one_of_the_docs(adaptbench):
    said = adaptbench("compare", "adaptbench.lit_modules.deep_sets.DeepSets", "--dry-run").stdout
    said = " ".join(said[said.index("Agreement") : said.index("quick version")].split())
    docs = Path(__file__).parents[3].joinpath("docs/results.md").read_text(encoding="utf-8")
    assert said in " ".join(docs.split())


@pytest.mark.slow
@pytest.mark.parametrize("suite", built_in())
def test_the_cells_of_each_bundle_that_ships_are_run_and_no_others(adaptbench, suite, real_cache, monkeypatch):
    """Whether the suite has more cells, or several trainings at one place."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    asked = adaptbench("compare", "adaptbench.lit_modules.deep_sets.DeepSets", "--suite", suite, "--dry-run")
    assert asked.returncode == 0, asked.stderr
    told = re.search(r"^(\d+) runs, (?:about|of unknown)", asked.stdout, re.MULTILINE)
    assert told and f"{told[1]} cells, {told[1]} runs: 0 finished" in asked.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--suite", "nothing"), "or a suite whose bundle ships"),
        (("--only", "learner=lstm"), "Expected `--only` without a learner"),
        (("--suite", "nowhere.zip"), "but got `nowhere.zip`.\n"),
        (("--only", "lerner=lstm"), "Did you mean `learner`"),
        (("--rates", "0.1,0"), "Expected `--rates` to be different positive numbers"),
        (("--rates", "0.1,0.1"), "but got `0.1,0.1`"),
        (("--rates", "fast"), "but got `fast`"),
        (("--jobs", "0"), "Expected `--jobs` to be"),
        (("--encoder", "own.Missing"), "own has no Missing"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_said(arguments, complaint, adaptbench, own_learners):
    done = adaptbench("compare", "own.Sound", *arguments)
    assert done.returncode == 2 and complaint in done.stderr and not done.stdout
    assert not list(adaptbench.folder.glob("runs"))


def test_a_learner_of_the_users_is_not_taken_for_one_of_ours(adaptbench, own_learners):
    path = own_learners / "own.py"
    path.write_text(path.read_text().replace("class Sound", "class prototypes"))
    done = adaptbench("compare", "own.prototypes", "--encoder", "conv4")
    assert done.returncode == 2 and "prototypes" in done.stderr and not list(adaptbench.folder.glob("runs"))


def test_one_of_ours_is_compared_on_another_encoder_only(adaptbench):
    done = adaptbench("compare", "prototypes")
    assert done.returncode == 2 and "Expected `--encoder` with `prototypes`" in done.stderr and not done.stdout
