"""Plans: which runs a suite needs, and what is wrong, before anything trains."""

import itertools
import shutil

import pytest
from PIL import Image

from adaptbench.benchmarks.commands.run import Standing
from adaptbench.benchmarks.executors.plan import Builder, add_learner, make_plan, with_encoder
from adaptbench.benchmarks.store.integrity import checksums
from adaptbench.benchmarks.store.store import Store, write_json
from adaptbench.benchmarks.suites.spec import Component, PretrainSpec, TransferSpec
from adaptbench.benchmarks.suites.suite import Suite, SuiteError, load_suite
from adaptbench.datamodules.base import EvalEpisodes, TrainEpisodes
from adaptbench.datamodules.errors import DataUnavailable
from adaptbench.datamodules.glyphs import GlyphsDataModule
from adaptbench.datamodules.sinusoid import SinusoidDataModule
from adaptbench.reports.selection import parse_only


@pytest.fixture
def suite(write_suite):
    return lambda **changes: load_suite(str(write_suite(**changes)))


def test_every_run_stands_once_and_pretraining_first(suite):
    extra = {"learners.head": {"strategy": {"name": "fine_tuning", "init_args": {"moves": "head"}}}}
    runs = make_plan(suite(seeds=(0, 1), **extra)).runs()
    ids = [run.spec.run_id for run in runs]
    assert len(set(ids)) == len(ids) == 2 + 2 + 2 * 2
    assert [isinstance(run.spec, PretrainSpec) for run in runs] == [True] * 2 + [False] * 6
    for position, run in enumerate(runs):
        if isinstance(run.spec, TransferSpec):
            assert run.needs == (run.spec.pretrained.run_id,)
            assert run.needs[0] in ids[:position]
        else:
            assert run.needs == ()


def test_every_candidate_of_a_pretraining_is_planned(suite):
    several = {"strategy": {"name": "average"}, "pretraining_lr": [0.001, 0.01, 0.001]}
    runs = make_plan(suite(**{"learners.average": several}), {"learner": ["average"]}).runs()
    assert [type(run.spec) for run in runs] == [PretrainSpec, PretrainSpec, TransferSpec]
    assert [run.spec.optimization.lr for run in runs[:2]] == [0.001, 0.01] and len({run.name for run in runs}) == 3
    assert runs[2].needs == tuple(run.spec.run_id for run in runs[:2])
    for name, value in (
        ("pretraining_lr", [0.001]),
        ("pretraining_sources", [{"name": "glyphs"}]),
        ("pretraining", {"head": "cosine"}),
        ("label_smoothing", 0.1),
    ):
        with pytest.raises(ValueError, match=f"`{name}` only together with a `strategy`"):
            suite(**{f"learners.deep_sets.{name}": value})


def test_a_learner_stands_beside_finished_cells_alone(suite):
    """Also where these are no product of values: one seed of a learner, and another one of another learner."""
    whole, _ = add_learner(suite(seeds=(0, 1)), "adaptbench.lit_modules.attention.Attention")
    about = [cell.attributes for cell in whole.cells()]
    seed_1 = [each for each in about if each.learner == about[0].learner and each.seed == 1]
    plan = make_plan(whole, {"learner": ["Attention"]})
    assert [cell.attributes.seed for cell in plan.beside(seed_1).cells] == [1]
    assert plan.beside(about).cells == plan.cells
    with pytest.raises(ValueError, match="stands beside those of the bundle"):
        plan.beside([each.model_copy(update={"train_classes": 7}) for each in about])


FOR_IMAGES = """

class ForImages(nn.Module):
    def __init__(self, example_shape):
        super().__init__()
        if len(example_shape) < 2:
            raise ValueError("ForImages needs images.")
        self.features, self.net = 4, nn.Linear(28 * 28, 4)

    def forward(self, inputs):
        return self.net(inputs.flatten(1) / 255)
"""


def test_an_encoder_leaves_out_the_tasks_that_it_cannot_encode(write_suite, own_learners):
    with (own_learners / "own.py").open("a") as file:
        file.write(FOR_IMAGES)
    glyphs = {"name": "glyphs", "init_args": {"train_classes": 20}}
    sizes = {"ways": 2, "shots": [1], "queries": 2}
    changes = {"train": {**sizes, "pool": 64, "episodes": 8}, "test": {**sizes, "episodes": 4}}
    sinusoids = load_suite(str(write_suite()))
    images = load_suite(str(write_suite(task=glyphs, **changes)))
    suite, refusals = with_encoder(sinusoids.with_tasks([*sinusoids.tasks, *images.tasks]), "own.ForImages")
    assert [entry.task.name for entry in suite.tasks] == ["glyphs"]
    assert refusals == {"sinusoid": "ForImages needs images."}
    with pytest.raises(ValueError, match="needs images"):
        with_encoder(sinusoids, "own.ForImages")


def test_sources_of_a_pretraining_are_planned_with_every_rate_or_refused(suite, monkeypatch):
    glyphs = [{"name": "glyphs", "init_args": {"train_classes": size}} for size in (8, 20)]
    changes = {
        "task": glyphs[0],
        "train": {"ways": 2, "shots": [1], "queries": 1, "pool": 16, "episodes": 2},
        "test": {"ways": 2, "shots": [1], "queries": 1, "episodes": 2},
        "encoder": {"name": "strided", "init_args": {"filters": 2}},
    }
    several = {"strategy": {"name": "nearest_centroid"}, "pretraining_lr": [0.001, 0.01]}

    def runs(*sources):
        entry = {**several, "pretraining_sources": list(sources)}
        tiny = suite(learners=(), **changes, **{"learners.sources": entry})
        return make_plan(tiny).runs()

    *pretrainings, adapting = runs(*glyphs)
    sizes = [run.spec.task.init_args["train_classes"] for run in pretrainings]
    assert sizes == [8, 8, 20, 20] and len({run.name for run in pretrainings}) == 4
    assert adapting.spec.training.task == Component(**glyphs[0]) and len(adapting.spec.sources) == 1
    monkeypatch.setattr(GlyphsDataModule, "class_identities", lambda self, part: ["one", part])
    with pytest.raises(
        ValueError, match="`pretraining_sources` is refused: Classes of the source that are in the test: 1, one"
    ):
        runs(*glyphs)


def test_only_selects_cells_and_the_pretraining_they_need(suite):
    tiny = suite(seeds=(0, 1))
    runs = make_plan(tiny, {"learner": ["Fine_Tuning"], "seed": ["1"]}).runs()
    assert [type(run.spec) for run in runs] == [PretrainSpec, TransferSpec]
    assert all("seed 1" in run.name for run in runs)
    unlimited = make_plan(tiny, {"train_classes": ["none"], "learner": ["deep_sets"]})
    assert len(unlimited.cells) == 2
    assert len(make_plan(tiny, {"ways": ["none"], "learner": ["deep_sets"]}).cells) == 2
    with pytest.raises(ValueError, match="has ways=5"):
        make_plan(tiny, {"ways": ["5"]})


def test_manifest_names_the_whole_suite_where_only_a_part_was_selected(suite):
    manifest = make_plan(suite(seeds=(0, 1)), {"seed": ["0"]}).manifest([])
    assert len(manifest.cells) == 4
    first = manifest.cells[0]
    assert [(test.ways, test.shots) for test in first.tests] == [(None, 5), (None, 10)]
    assert (first.metric, first.higher_is_better, first.class_word) == ("mse", False, "functions")
    assert (first.label, first.family, first.protocol) == ("Deep sets", "sets", "noise-free")


def test_an_added_learner_stands_on_the_tasks_that_it_takes(suite, monkeypatch):
    tiny = suite()
    sinusoid = tiny.tasks[0]
    characters = sinusoid.model_copy(
        update={
            "task": Component(name="glyphs", init_args={"train_classes": 8}),
            "over": {},
            "train": TrainEpisodes(ways=2, shots=(1,), queries=1, pool=16, episodes=2),
            "test": EvalEpisodes(ways=2, shots=(1,), queries=1, episodes=2),
        }
    )
    both = tiny.with_tasks([sinusoid, characters])
    found, refusals = add_learner(both, "prototypes")
    assert ["prototypes" in entry.learners for entry in found.tasks] == [False, True]
    assert list(refusals) == ["sinusoid"] and "regression" in refusals["sinusoid"]
    assert len(make_plan(found).cells) == len(make_plan(both).cells) + 1
    with pytest.raises(ValueError, match="regression"):
        add_learner(tiny, "prototypes")
    monkeypatch.setenv("MY_SERVICE_TOKEN", "regression")
    _, refusals = add_learner(both, "prototypes")
    assert "***" in refusals["sinusoid"] and "regression" not in refusals["sinusoid"], "it is printed"


@pytest.mark.parametrize("unavailable", [False, True])
def test_an_added_learner_stands_once_where_a_task_has_two_trainings(unavailable, monkeypatch):
    """Whether or not the data are there."""

    def build(*_):
        if unavailable:
            raise DataUnavailable("not here")

    monkeypatch.setattr(Builder, "__call__", build)
    found, refusals = add_learner(load_suite("classes"), "adaptbench.lit_modules.tcn.TCN")
    assert not refusals
    make_plan(found)
    assert [entry.task.name for entry in found.tasks if "TCN" in entry.learners] == [
        *["omniglot"] * 4, "glyphs", "sinusoid"
    ]  # fmt: skip


def test_selecting_nothing_is_an_error(suite):
    with pytest.raises(ValueError, match=r"No cell of suite `tiny` has learner=lstm\. Known: deep_sets, fine_tuning"):
        make_plan(suite(), parse_only(["learner=lstm", "seed=0"]))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"task.init_args": {"noize": 1.0}}, "The task `sinusoid` has no argument `noize`. Did you mean `noise`?"),
        ({"task.init_args": {"noise": -1.0}}, "`noise` to be zero or more but got -1.0"),
        ({"train.ways": 2}, "`ways` to be left out for sinusoid,"),
        ({"encoder.init_args": {"wide": 1}}, "The encoder `mlp` has no argument `wide`. Did you mean `width`?"),
        (
            {"learners.deep_sets.learner": {"name": "lstm", "init_args": {"a": 1}}},
            "The learner `lstm` has no argument `a`. Known: .*width",
        ),
        ({"learners.deep_sets.learner": {"name": "lstm", "init_args": {"outputs": 1}}}, "has no argument `outputs`"),
        ({"encoder.init_args": {"width": "x"}}, "`width` of the encoder `mlp` to be a valid integer but got 'x'"),
        ({"encoder": {"name": "mlp", "init_args": {"width": [8]}}}, r"to be a valid integer but got \[8\]"),
        ({"learners.deep_sets.learner.init_args.width": 8.5}, "`width` of the learner `deep_sets` to be .* got 8.5"),
        ({"encoder.init_args": {"width": -8}}, "`width` of the encoder `mlp` to be at least 1 but got -8"),
        ({"encoder.init_args": {"depth": -1}}, "`depth` of the encoder `mlp` to be at least 0 but got -1"),
        ({"learners.deep_sets.learner": {"name": "lstm", "init_args": {"width": 0}}}, "at least 1 but got 0"),
        ({"learners.deep_sets.learner": {"name": "attention", "init_args": {"heads": 0}}}, "at least 1 but got 0"),
        ({"encoder": {"name": "conv4"}}, r"`example_shape` to be that of an image, .* but got \[1\]"),
        ({"task.init_args": {"train_functions": 0}}, "`train_functions` to be a positive integer but got 0"),
        ({"learners.deep_sets.learner": {"name": ".x"}}, "a dotted path, package.Class, but got `.x`"),
        ({"learners.fine_tuning.strategy.init_args": {"moves": "body"}}, "`moves` to be 'head', 'all', or 'last_1'"),
    ],
)
def test_wrong_arguments_are_found_before_anything_trains(changes, complaint, suite):
    with pytest.raises(ValueError, match=complaint):
        make_plan(suite(**changes))


@pytest.mark.parametrize(
    "name", ["own.Other", "adaptbench.datamodules.errors.DataUnavailable", "math.pi", "math.hypot"]
)
def test_a_learner_without_the_interface_is_refused_with_the_signature(name, suite, own_learners):
    with pytest.raises(ValueError, match=r"forward\(self, support_x \[B, S, features\]"):
        make_plan(suite(**{"learners.deep_sets.learner": {"name": name}}))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("own.Silent", r"`own.Silent` has no method `predict`"),
        ("own.Hasty", r"`own.Hasty` has a method `predict` that does not take a batch: .*'query'"),
        ("own.Alone", r"`own.Alone` does not take its arguments"),
    ],
)
@pytest.mark.usefixtures("own_learners")
def test_a_strategy_without_the_interface_is_refused_before_anything_trains(name, complaint, suite):
    wrong = suite(**{"learners.fine_tuning.strategy": {"name": name}})
    with pytest.raises(ValueError, match=complaint + r".* It must be .*predict\(self, batch: EpisodeBatch\)"):
        make_plan(wrong)


def test_data_that_cannot_be_had_leaves_out_its_task_only(suite, monkeypatch):
    def unavailable(self, sampling, **arguments):
        raise DataUnavailable("The sines are out.")

    tiny = suite()
    monkeypatch.setattr(SinusoidDataModule, "__init__", unavailable)
    plan = make_plan(tiny)
    assert plan.runs() == []
    assert plan.manifest([]).unavailable == {"sinusoid": "The sines are out."}
    assert len(plan.manifest([]).cells) == 2


def test_two_folders_of_images_are_told_apart_or_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for number, image in itertools.product(range(2), range(30)):
        path = tmp_path / ("mine", "theirs")[number] / f"mushrooms/{image // 2}/{image}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 100 * number + 3 * image).save(path)
    entry = {
        "train": {"ways": 2, "shots": [1], "queries": 1, "pool": 8, "episodes": 2},
        "test": {"ways": 2, "shots": [1], "queries": 1, "episodes": 20},
        "encoder": {"name": "strided", "init_args": {"filters": 4}},
        "budget": {"examples": 32},
        "learners": {"prototypes": {"learner": {"name": "prototypes"}}},
    }
    folders = ("mine/mushrooms", "theirs/mushrooms", "leaves")

    def of(**label):
        tasks = [{"task": {"name": "image_folder", "init_args": {"path": str(tmp_path / each)}}} for each in folders]
        tasks = [{**entry, **each, **(label if each == tasks[0] else {})} for each in tasks]
        return Suite.model_validate({"suite": "mine", "version": 1, "description": "", "seeds": [0], "tasks": tasks})

    with pytest.raises(ValueError, match=r"one run of prototypes on mushrooms \(mushrooms\) .* give a task a `label`"):
        make_plan(of())
    plan = make_plan(of(label="my mushrooms"))
    assert [cell.attributes.called for cell in plan.cells] == ["my mushrooms", "mushrooms", "leaves"]
    assert [cell.spec for cell in plan.cells] == [cell.spec for cell in of().cells()]
    assert list(plan.unavailable) == ["leaves"]
    assert [run.name for run in plan.runs()] == ["prototypes my mushrooms 9 seed 0", "prototypes mushrooms 9 seed 0"]
    for name, count in (("my mushrooms", 1), ("mushrooms", 1), ("image_folder", 3)):
        assert len(make_plan(of(label="my mushrooms"), parse_only([f"task={name}"])).cells) == count


def test_a_label_names_one_task_only(suite):
    for changes in ({"label": "Glyphs"}, {"label": "mine", "otherwise": {"name": "glyphs"}}):
        with pytest.raises(SuiteError, match="a `label` for this task alone"):
            suite(**changes)
    assert suite(label="Sinusoid").cells()[0].attributes.called == "Sinusoid"


@pytest.fixture
def without_data(monkeypatch):
    """A machine without Omniglot."""

    def unavailable(*_, **__):
        raise DataUnavailable("The characters are out.")

    monkeypatch.setattr("adaptbench.datamodules.omniglot.load_images", unavailable)


def test_quick_takes_glyphs_by_their_own_name_where_omniglot_cannot_be_had(without_data):
    quick = load_suite("quick")
    plan = make_plan(quick)
    manifest = plan.manifest([])
    assert {cell.task for cell in manifest.cells} == {"sinusoid", "glyphs"}
    assert {cell.protocol for cell in manifest.cells} == {"noise-free", "generated characters"}
    assert len(manifest.cells) == len(quick.cells())
    assert manifest.unavailable == {"omniglot": "The characters are out."}
    assert any("none of them Omniglot's" in r for c in manifest.cells if c.task == "glyphs" for r in c.remarks)
    assert sum("glyphs" in run.name for run in plan.runs()) == 3 * 3 * 7
    for task in ("glyphs", "omniglot"):
        chosen = make_plan(quick, {"task": [task], "learner": ["lstm"]})
        assert {cell.attributes.task for cell in chosen.cells} == {"glyphs"} and len(chosen.cells) == 9


def test_quick_takes_no_glyphs_where_omniglot_can_be_had(real_cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(real_cache))
    plan = make_plan(load_suite("quick"), {"learner": ["lstm"]})
    assert {cell.attributes.task for cell in plan.cells} == {"sinusoid", "omniglot"} and not plan.unavailable
    with pytest.raises(ValueError, match="No cell of suite `quick` has task=glyphs"):
        make_plan(load_suite("quick"), {"task": ["glyphs"]})


def test_only_selects_by_arguments_of_the_task(suite):
    tiny = suite(over={"noise": [0.0, 0.5]})
    assert len(make_plan(tiny, {"noise": ["0.5"]}).cells) == 2
    assert len(make_plan(tiny, {"protocol": ["noise-free"]}).cells) == 2
    with pytest.raises(ValueError, match="No cell of suite `tiny` has rotations=none"):
        make_plan(tiny, {"rotations": ["none"]})


def test_what_another_folder_holds_is_done_unless_its_weights_are_needed(write_suite, store, result_of, tmp_path):
    other = Store(tmp_path / "unpacked")
    more = {"strategy": {"name": "fine_tuning", "init_args": {"moves": "all", "steps": 3}}}
    plan = make_plan(load_suite(str(write_suite(learners=("fine_tuning",), **{"learners.more": more}))))
    pretraining, first, second = (run.spec.run_id for run in plan.runs())

    def publish(where, run_id):
        folder = where.begin(run_id)
        for name in result_of(run_id).required:
            (folder / name).touch()
        write_json(folder / "result.json", result_of(run_id, files=checksums(folder)))
        where.publish(run_id)

    def left(*others):
        return [run.spec.run_id for run in Standing.of(plan, store, others).left]

    publish(other, pretraining)
    publish(other, first)
    assert left() == [pretraining, first, second]
    assert left(other) == [pretraining, second]
    publish(store, pretraining)
    assert left(other) == [second]
    publish(other, second)
    shutil.rmtree(store.published(pretraining))
    assert left(other) == []
