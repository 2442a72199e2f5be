"""Lake's runs: the official trials as they are, and no learner that saw their alphabets."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from adaptbench.benchmarks.evaluation.evaluate import evaluate
from adaptbench.datamodules.base import EvalEpisodes, Sampling, TrainEpisodes
from adaptbench.datamodules.episodes import episodes_digest
from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.datamodules.lake_runs import SIZE, LakeRunsDataModule, load_runs
from adaptbench.datamodules.omniglot_archives import RUNS, Archive, content_digest
from adaptbench.reports.statistics.intervals import interval

TRAIN = TrainEpisodes(ways=20, shots=(1,), queries=1, pool=160, episodes=8)
TEST = EvalEpisodes(ways=20, shots=(1,), queries=1, episodes=20)


@pytest.fixture
def runs(real_cache, monkeypatch):
    """Makes tasks of the real runs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))

    def make(seed=0, **arguments):
        return LakeRunsDataModule(Sampling(train=TRAIN, test=TEST, seed=seed), **arguments)

    return make


class Nearest:
    """Classifies by the nearest support image."""

    def predict(self, batch):
        pixels = batch.inputs.flatten(1).float()
        nearest = torch.cdist(pixels[batch.query], pixels[batch.support]).argmin(-1)
        return batch.support_y.gather(1, nearest[..., None].expand(-1, -1, batch.support_y.shape[-1]))


def drawing(value):
    file = io.BytesIO()
    Image.fromarray(np.full((105, 105), value, dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def small_runs(folder, packed):
    """Two runs of two classes each, whose images have one grey level each, as a zip or extracted."""
    members = {}
    for run in (1, 2):
        for number in (1, 2):
            members[f"run0{run}/training/class0{number}.png"] = drawing(10 * run + number)
            members[f"run0{run}/test/item0{number}.png"] = drawing(100 + 10 * run + number)
    members["run01/class_labels.txt"] = b"run01/test/item01.png run01/training/class02.png\n" + (
        b"run01/test/item02.png run01/training/class01.png\n"
    )
    members["run02/class_labels.txt"] = b"run02/test/item01.png run02/training/class01.png\n" + (
        b"run02/test/item02.png run02/training/class02.png"
    )
    if packed:
        with zipfile.ZipFile(folder / "all_runs.zip", "w") as file:
            for name, content in {**members, "run01/": b"", "__MACOSX/run01/._x.png": b""}.items():
                file.writestr(name, content)
    else:
        for name, content in members.items():
            path = folder / "all_runs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return Archive("runs", "", content_digest(members))


@pytest.mark.parametrize("packed", [True, False])
def test_runs_are_read_by_their_tables(packed, tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", str(tmp_path))
    found = load_runs(8, small_runs(tmp_path, packed))
    assert found.support.shape == found.query.shape == (2, 2, 8, 8)
    assert (255 - found.support[:, :, 0, 0]).tolist() == [[11, 12], [21, 22]]
    assert (255 - found.query[:, :, 0, 0]).tolist() == [[111, 112], [121, 122]]
    assert found.answers.tolist() == [[1, 0], [0, 1]]


def test_runs_that_are_missing_are_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("ADAPTBENCH_OMNIGLOT", str(tmp_path))
    with pytest.raises(DataUnavailable, match=r"there is neither all_runs.zip nor all_runs/ in it; put an intact"):
        load_runs()


def test_runs_are_downloaded_from_their_own_folder():
    assert RUNS.url.endswith("/omniglot/master/python/one-shot-classification/all_runs.zip")


def test_every_image_of_the_runs_is_of_one_evaluation_alphabet_and_its_answer_is_right(runs):
    task = runs()
    rows = {image.tobytes(): row // 20 for row, image in enumerate(task.images.pixels.reshape(-1, 28, 28))}
    batch = task.eval_batch("test", SIZE, 20)
    characters = np.array([rows[image.tobytes()] for image in batch.inputs.numpy()]).reshape(20, 40)
    for run in range(20):
        support = dict(zip(batch.support_y[run].argmax(-1).tolist(), characters[run, :20].tolist(), strict=True))
        assert [support[label] for label in batch.query_y[run].argmax(-1).tolist()] == characters[run, 20:].tolist()
        assert len({task.images.characters[row][0] for row in characters[run]}) == 1
        assert {task.images.sets[row] for row in characters[run]} == {"evaluation"}
    assert len(set(characters.flatten().tolist()) - set(task.characters["test"].tolist())) == 0
    labels = batch.support_y.argmax(-1)
    assert len({tuple(run.tolist()) for run in labels}) == 20, "labels are permuted in every run"


def test_some_runs_are_the_first_ones_and_there_are_no_more_than_twenty(runs):
    task = runs()
    some, all_runs = (task.eval_batch("test", SIZE, count) for count in (3, 20))
    assert all(torch.equal(part, whole[:3]) for part, whole in zip(some[1:], all_runs[1:], strict=True))
    with pytest.raises(ValueError, match=r"Expected the 20 runs of size .* but got 21"):
        task.eval_batch("test", SIZE, 21)


def test_the_runs_are_the_same_for_every_learner_and_split(runs):
    digests = {
        episodes_digest(runs(**arguments).eval_batch("test", SIZE, 20))
        for arguments in ({}, {"seed": 3, "split": "small1"}, {"split": "small2", "train_classes": 40})
    }
    assert len(digests) == 1


def test_a_final_training_has_all_background_alphabets_and_may_change_its_images_but_not_the_runs(runs):
    plain, task = runs(), runs(learn_from="train_and_val", augment=True)
    assert task.class_count("train") == 4 * 964
    assert len({task.images.characters[row][0] for row in task.characters["train"]}) == 30
    first, second = (episodes_digest(each.eval_batch("test", SIZE, 20)) for each in (plain, task))
    assert first == second
    same = runs(learn_from="train_and_val")
    assert not torch.equal(task.train_batch(0).inputs, same.train_batch(0).inputs)
    found = {finding.guard: finding for finding in task.guards()}
    assert found["near-duplicates"].status in ("passed", "noted") and found["class overlap"].status == "passed"


@pytest.mark.parametrize(("split", "alphabet"), [("vinyals", "Gurmukhi"), ("vinyals_clean", "Angelic")])
def test_a_learner_of_evaluation_alphabets_is_refused(runs, split, alphabet):
    with pytest.raises(ValueError, match=rf"keep the evaluation alphabets.*but '{split}' has .*{alphabet}.* there\."):
        runs(split=split)


@pytest.mark.parametrize(
    ("test", "arguments", "message"),
    [
        (EvalEpisodes(ways=20, shots=(1,), queries=2, episodes=20), {}, "because the official runs have them"),
        (EvalEpisodes(ways=20, shots=(1,), queries=1, episodes=40), {}, "because the official runs have them"),
        (TEST, {"rotations": "all"}, "`rotations` to be 'none' or 'train'"),
    ],
    ids=str,
)
def test_what_the_runs_cannot_be_is_refused(test, arguments, message):
    with pytest.raises(ValueError, match=message):
        LakeRunsDataModule(Sampling(train=TRAIN, test=test), **arguments)


def test_the_error_stands_in_per_cent_with_an_interval_over_runs(runs):
    task = runs()
    evaluation = evaluate(Nearest(), task, torch.device("cpu"))
    scores = evaluation.scores
    accuracy, _, error, _ = scores
    expected = interval([evaluation.episodes["accuracy"]], "fraction")
    assert (100 - error.high, 100 - error.low) == pytest.approx((100 * expected.lower, 100 * expected.upper))
    assert error.metric == "error_percent" and error.trials == 400
    assert error.value == pytest.approx(100 * (1 - accuracy.value))
    assert 0 < error.low < error.value < error.high < error.chance == pytest.approx(95)
    assert 60 < error.value < 90, "pixels are bad at this: the repository's Hausdorff distance errs in 38.8 %"


def test_protocol_and_remarks_name_the_split_and_the_published_errors():
    assert LakeRunsDataModule.protocol({}) == "20 official runs, learned from lake, rotations in training"
    remarks = " ".join(LakeRunsDataModule.remarks({}))
    assert "people 4.5, BPL 3.3 and GNS 5.7" in remarks and "400 trials" in remarks
    assert "BPL 4.3" in " ".join(LakeRunsDataModule.remarks({"split": "small1"}))
