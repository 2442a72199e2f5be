"""Weights from elsewhere: read without executing anything, refused if they do not fit, part of a run's id, marked."""

import pickle
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from adaptbench import load_run
from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.runs.build import TaskShape, build_module
from adaptbench.benchmarks.suites.suite import load_suite
from adaptbench.lit_modules.encoders import MLP
from adaptbench.reports.sources.loading import load_results
from adaptbench.reports.words.captions import ELSEWHERE_NOTE

SHAPE = TaskShape(example_shape=(1,), targets=1, pretraining_outputs=1, likelihood="gaussian", stream=False)


def weights(**arguments):
    torch.manual_seed(7)
    return MLP((1,), **{"width": 8, "depth": 1, **arguments}).state_dict()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """Weights that fit into the tiny suite, in the present folder."""
    monkeypatch.chdir(tmp_path)
    torch.save(weights(), "start.pt")
    return tmp_path / "start.pt"


def specs(path):
    return {cell.attributes.learner: cell.spec for cell in load_suite(str(path)).cells()}


def test_the_digest_of_the_file_is_part_of_the_id(file, write_suite):
    plain, path = specs(write_suite("plain")), write_suite(**{"encoder.weights": "start.pt"})
    first = specs(path)
    assert specs(path) == first
    torch.save(weights(width=8), file)
    again = specs(path)
    torch.save({name: 2 * each for name, each in weights().items()}, file)
    for name, other in specs(path).items():
        assert len({plain[name].run_id, first[name].run_id, other.run_id}) == 3
        assert again[name].training.encoder.weights_digest == first[name].training.encoder.weights_digest
        with pytest.raises(
            ValueError, match=r"start.pt of the encoder `mlp` to be those of this run .* but they changed"
        ):
            build_module(first[name].training, SHAPE)


def test_the_encoder_starts_from_them_and_the_rest_is_as_without_them(file, write_suite):
    own = specs(write_suite(**{"encoder.weights": "start.pt"}))["deep_sets"]
    plain = specs(write_suite())["deep_sets"]
    found, other = (build_module(spec, SHAPE).state_dict() for spec in (own, plain))
    for name, tensor in found.items():
        part, _, rest = name.partition(".")
        assert torch.equal(tensor, weights()[rest] if part == "encoder" else other[name])


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda file: file.unlink(), "to be a file but No such file or directory."),
        (lambda file: file.write_bytes(b"garbage"), "but the file is damaged or holds more than that."),
        (lambda file: file.write_bytes(pickle.dumps(Executed())), "but the file is damaged or holds more than that."),
        (lambda file: torch.save(Executed(), file), "but the file is damaged or holds more than that."),
        (lambda file: torch.save([torch.zeros(2)], file), "but the file holds something else."),
        (lambda file: torch.save({"state_dict": weights()}, file), "but the file holds something else."),
        (lambda file: torch.save(weights(width=4), file), "`1.weight` has shape [4, 1] instead of [8, 1]."),
        (lambda file: torch.save(weights(depth=2), file), "it has `3.bias` and 1 more besides."),
        (lambda file: torch.save({}, file), "the file lacks `1.bias` and 1 more."),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line_before_anything_trains(make, complaint, file, write_suite):
    make(file)
    done = CliRunner().invoke(app, ["run", str(write_suite(**{"encoder.weights": "start.pt"})), "--wandb", "off"])
    assert (done.exit_code, Path("runs").exists()) == (2, False)
    (line,) = done.stderr.splitlines()
    assert "the weights start.pt of the encoder `mlp`" in line and line.endswith(complaint)
    assert not Path("executed").exists()


class Executed:
    """Writes a file when it is unpickled."""

    def __reduce__(self):
        return open, ("executed", "w")


def test_a_run_that_starts_from_them_is_marked_and_loads_without_the_file(file, write_suite):
    scratch = {"strategy": {"name": "from_scratch", "init_args": {"steps": 2}}}
    path = write_suite(**{"encoder.weights": "start.pt", "learners.scratch": scratch})
    done = CliRunner().invoke(app, ["run", str(path), "--jobs", "1", "--wandb", "off"])
    assert done.exit_code == 0, done.output
    table = Path("runs/report-tiny/table-sinusoid.csv").read_text()
    marked = [line.split(",")[2] for line in table.splitlines() if ELSEWHERE_NOTE in line]
    assert sorted(set(marked)) == ["deep_sets", "fine_tuning"]
    file.unlink()
    runs = load_results("runs").runs
    (run_id,) = runs.loc[runs["learner"] == "deep_sets", "run_id"].unique()
    assert load_run(Path("runs", run_id)).predict([[0.0]], [0.0], [[0.5]]).means.shape == (1, 1)
