"""Finished runs as Python objects."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from adaptbench import load_run
from adaptbench.benchmarks.runs import trained
from adaptbench.benchmarks.runs.build import TaskShape, build_task
from adaptbench.benchmarks.runs.run import execute
from adaptbench.benchmarks.runs.trained import (
    TrainedAdapter,
    export_weights,
    load_weights,
    predict_tests,
    shipped_weights,
)
from adaptbench.benchmarks.store.store import Store
from adaptbench.benchmarks.suites.spec import RUN_SPEC, EpisodicSpec, TransferSpec
from adaptbench.datamodules.episodes import EpisodeSize
from adaptbench.lit_modules.encoders import StridedConv
from adaptbench.lit_modules.episodic import EpisodicModule
from adaptbench.lit_modules.likelihoods import LIKELIHOODS, SCALE_FLOOR
from adaptbench.lit_modules.optimization import Optimization
from adaptbench.lit_modules.prototypes import Prototypes
from adaptbench.reports.format import Result
from adaptbench.reports.reading import read
from adaptbench.reports.sources.sources import opened

X, Y, QUERY = np.array([[-1.0], [0.0], [2.0]]), np.array([0.5, 0.0, -0.5]), np.array([[1.0], [3.0]])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Makes each run once for all tests here."""
    store, folders = Store(tmp_path_factory.mktemp("runs")), {}

    def finish(spec):
        if spec.run_id not in folders:
            if hasattr(spec, "pretrained"):
                execute(spec.pretrained, store)
            folders[spec.run_id] = execute(spec, store)
        return folders[spec.run_id]

    return finish


@pytest.fixture
def characters():
    """An untrained prototypical network for images in up to 5 ways."""
    torch.manual_seed(0)
    encoder = StridedConv((28, 28), filters=4)
    module = EpisodicModule(encoder, Prototypes(encoder.features, 5, 5), LIKELIHOODS["categorical"], Optimization())
    return TrainedAdapter(module, TaskShape((28, 28), 5, 20, "categorical", False))


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)


def test_images_get_class_probabilities_in_as_many_ways_as_there_are_labels(characters):
    for ways in (2, 5):
        probabilities = characters.predict(IMAGES[:ways], range(ways), IMAGES)
        assert probabilities.shape == (6, ways)
        torch.testing.assert_close(probabilities.sum(dim=-1), torch.ones(6))
        assert probabilities[:ways].argmax(dim=-1).tolist() == list(range(ways))


def test_bytes_and_shares_of_ink_are_the_same_images(characters):
    as_bytes = characters.predict(IMAGES[:3], [0, 1, 2], IMAGES[3:])
    torch.testing.assert_close(characters.predict(IMAGES[:3] / 255, [0, 1, 2], IMAGES[3:]), as_bytes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((IMAGES[:3, 1:], [0, 1, 2], IMAGES), r"`support_x` to have shape \[N, 28, 28\] but got \[3, 27, 28\]"),
        ((IMAGES[:3].astype(int), [0, 1, 2], IMAGES), "uint8 or floating-point"),
        ((IMAGES[:3] / 100, [0, 1, 2], IMAGES), "values from 0 to 1"),
        ((IMAGES[:3], [0, 1, 3], IMAGES), r"every label from 0 to N - 1, for an N from 2 to 5, but got \[0, 1, 3\]"),
        ((IMAGES[:3], [0, 0, 0], IMAGES), "for an N from 2 to 5"),
        ((IMAGES, range(6), IMAGES), "for an N from 2 to 5"),
        ((IMAGES[:3], [0.0, 1.0, 2.0], IMAGES), "integer labels"),
        ((IMAGES[:3], np.eye(3, dtype=int), IMAGES), "integer labels"),
    ],
)
def test_wrong_images_and_labels_get_a_sentence(arguments, message, characters):
    with pytest.raises(ValueError, match=message):
        characters.predict(*arguments)


def test_a_regression_run_predicts_from_raw_values(episodic, finished):
    trained = load_run(finished(episodic()))
    means, deviations = trained.predict(X, Y, QUERY)
    assert means.shape == deviations.shape == (2, 1) and means.dtype == deviations.dtype == torch.float32
    torch.testing.assert_close(trained.predict(torch.tensor(X), Y[:, None], QUERY).means, means)
    assert not torch.allclose(trained.predict(X, -Y, QUERY).means, means)
    likelihood = torch.distributions.Normal(means, deviations).log_prob(torch.zeros(2, 1))
    raw = torch.cat([means, deviations.sub(SCALE_FLOOR).expm1().log()], dim=-1)
    torch.testing.assert_close(LIKELIHOODS["gaussian"].nll(raw, torch.zeros(2, 1)), -likelihood[:, 0])


def test_read_only_and_reversed_arrays_are_taken(episodic, finished):
    trained = load_run(finished(episodic()))
    locked = X.copy()
    locked.flags.writeable = False
    torch.set_warn_always(True)  # otherwise torch warns of them once a process
    try:
        with pytest.warns(UserWarning, match="not writable"):
            torch.from_numpy(locked)
        trained.predict(locked, Y, QUERY)
    finally:
        torch.set_warn_always(False)
    torch.testing.assert_close(trained.predict(locked, Y, QUERY), trained.predict(X, Y, QUERY))
    assert trained.predict(X[::-1], Y[::-1], QUERY).means.shape == (2, 1)


def test_it_predicts_what_the_judge_scored(episodic, transfer, finished):
    for spec in (episodic(), transfer()):
        folder = finished(spec)
        task = build_task(spec.training)
        batch = task.eval_batch("test", EpisodeSize(None, 5, 5), 20)
        row = 3
        means, _ = load_run(folder).predict(
            batch.inputs[batch.support[row]], batch.support_y[row], batch.inputs[batch.query[row]]
        )
        error = (means - batch.query_y[row]).square().mean().item()
        scores = pd.read_parquet(folder / "episodes.parquet").query("shots == 5 and episode == @row")
        assert error == pytest.approx(scores["mse"].item(), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X[:, 0], Y, QUERY), r"`support_x` to have shape \[N, 1\] but got \[3\]"),
        ((X, Y[:2], QUERY), "`support_y` to have 3 entries but got 2"),
        ((X, Y, QUERY[:0]), "`query_x` to have shape"),
        ((X.astype(int), Y, QUERY), "`support_x` to hold floating-point values"),
        ((X * np.nan, Y, QUERY), "finite values"),
        ((X, Y + np.inf, QUERY), "finite real targets"),
        ((X, np.array([0, 1, 2]), QUERY), "finite real targets"),
        (("x", Y, QUERY), "`support_x` to be an array of numbers"),
    ],
)
def test_wrong_values_get_a_sentence(arguments, message, episodic, finished):
    with pytest.raises(ValueError, match=message):
        load_run(finished(episodic())).predict(*arguments)


def test_what_cannot_be_loaded(episodic, transfer, finished, tmp_path):
    with pytest.raises(ValueError, match="folder of a finished run"):
        load_run(tmp_path)
    folder = finished(transfer())
    with pytest.raises(ValueError, match="is a pretraining"):
        load_run(folder.parent / transfer().pretrained.run_id)
    spec = json.loads((folder / "spec.json").read_text())
    (tmp_path / "spec.json").write_text(json.dumps({**spec, "results_version": 0}))
    with pytest.raises(ValueError, match="results version 0"):
        load_run(tmp_path)
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(ValueError, match="cannot be read"):
        load_run(tmp_path)


@pytest.fixture(scope="module")
def glyphs(finished):
    """A network that has learned something about characters, and its spec."""
    spec = EpisodicSpec(
        task={"name": "glyphs", "init_args": {"train_classes": 60}},
        train={"ways": 5, "shots": [1], "queries": 3, "pool": 120, "episodes": 16},
        test={"ways": 5, "shots": [1], "queries": 15, "episodes": 200},
        encoder={"name": "strided", "init_args": {"filters": 8}},
        budget={"examples": 12000, "epochs": 1, "val_episodes": 4},
        learner={"name": "prototypes"},
        optimization={"lr": 0.004},
        seed=0,
    )
    return spec, finished(spec)


def test_weights_in_half_precision_move_no_accuracy(glyphs, tmp_path, monkeypatch):
    """A tenth of a point at most, for a network that has learned something."""
    spec, folder = glyphs
    out = tmp_path / "weights" / "mine" / "prototypes-5way.pt"
    trained.export_weights(folder, out)
    weights = torch.load(out, weights_only=True)["state_dict"].values()
    assert not any(each.dtype == torch.float32 for each in weights)
    monkeypatch.setattr(trained, "shipped_weights", lambda: {"mine/prototypes-5way": out})
    full, half = load_run(folder), load_run("mine/prototypes-5way")
    task = build_task(spec)
    batch = task.eval_batch("test", EpisodeSize(5, 1, 15), 200)
    scores = [each.adapter.predict(batch.to("cpu")).argmax(-1) == batch.query_y.argmax(-1) for each in (full, half)]
    accuracies = [float(each.float().mean()) for each in scores]
    assert accuracies[0] > 0.3, "it has learned something"
    assert abs(accuracies[0] - accuracies[1]) < 0.001
    support, query = batch.inputs[batch.support[0]], batch.inputs[batch.query[0]]
    labels = batch.support_y[0].argmax(-1)
    ours, theirs = (each.predict(support, labels, query) for each in (full, half))
    assert not torch.equal(ours, theirs) and torch.allclose(ours, theirs, atol=0.05)


def test_scores_follow_from_predictions(glyphs, finished, episodic):
    _, folder = glyphs
    frame = predict_tests(folder)
    logs = frame.filter(like="log_p")
    assert len(frame) == 200 * 75 and set(logs.dtypes) == {np.dtype("float16")}
    scores = {score.metric: score.value for score in read(folder / "result.json", Result).scores}
    right = logs.to_numpy().argmax(axis=1) == frame["target"]
    assert right.mean() == pytest.approx(scores["accuracy"], abs=0.001)
    told = logs.to_numpy("float64")[np.arange(len(frame)), frame["target"]]
    assert -told.mean() == pytest.approx(scores["nll"], rel=0.001)

    folder = finished(episodic())
    frame = predict_tests(folder)
    errors = (frame["mean"].astype(float) - frame["target"]) ** 2
    for score in read(folder / "result.json", Result).scores:
        if score.metric == "mse":
            assert errors[frame["shots"] == score.shots].mean() == pytest.approx(score.value, rel=0.01)


def test_a_control_that_asks_for_the_posterior_predicts_its_test_again(finished, pretraining):
    task = pretraining(task__init_args={"noise": 0.5})
    folder = finished(TransferSpec(pretrained=task, strategy={"name": "bayes"}, test=task.test))
    frame = predict_tests(folder)
    errors = (frame["mean"].astype(float) - frame["target"]) ** 2
    for score in read(folder / "result.json", Result).scores:
        if score.metric == "mse":
            assert errors[frame["shots"] == score.shots].mean() == pytest.approx(score.value, rel=0.01)


def test_what_cannot_be_exported_or_read_is_refused(finished, pretraining, episodic, tmp_path):
    with pytest.raises(ValueError, match="is a pretraining"):
        export_weights(finished(pretraining()), tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="to hold exported weights"):
        load_weights(tmp_path / "a.pt")
    folder = finished(episodic())
    export_weights(folder, tmp_path / "b.pt")
    content = torch.load(tmp_path / "b.pt", weights_only=True)
    torch.save(
        {**content, "spec": content["spec"].replace('"results_version":', '"results_version":9')}, tmp_path / "b.pt"
    )
    with pytest.raises(ValueError, match="of version"):
        load_weights(tmp_path / "b.pt")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(shipped_weights()))
def test_weights_that_ship_have_the_score_of_their_run(name, real_cache, monkeypatch):
    """A tenth of a point of accuracy at most, or half a per cent of a squared error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    spec = RUN_SPEC.validate_json(torch.load(shipped_weights()[name], weights_only=True)["spec"])
    with opened([name.partition("/")[0]]) as (bundle,):
        scores = read(bundle.folder / spec.run_id / "result.json", Result).scores
    task = build_task(spec.training)
    size = max(task.test.sizes)
    classes = task.likelihood == "categorical"
    wanted = ("accuracy" if classes else "mse", size.ways, size.shots, "unseen")
    (published,) = (each.value for each in scores if (each.metric, each.ways, each.shots, each.on) == wanted)
    batch = task.eval_batch("test", size, task.test.episodes)
    prediction = load_run(name).adapter.predict(batch.to("cpu"))
    if classes:
        right = prediction.argmax(-1) == batch.query_y.argmax(-1)
        assert float(right.float().mean()) == pytest.approx(published, abs=0.001)
    else:
        errors = (LIKELIHOODS["gaussian"].point(prediction) - batch.query_y) ** 2
        assert float(errors.mean()) == pytest.approx(published, rel=0.005)
