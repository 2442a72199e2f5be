"""Suites: read strictly, expanded completely, and named by what determines results."""

import json
import re
from dataclasses import fields, make_dataclass

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adaptbench.benchmarks.suites.registry import find, suite_files
from adaptbench.benchmarks.suites.spec import (
    RESULTS_VERSION,
    RUN_SPEC,
    Budget,
    EpisodicSpec,
    Pretraining,
    PretrainSpec,
    TrainerOptions,
    TransferSpec,
)
from adaptbench.benchmarks.suites.suite import SuiteError, load_suite
from adaptbench.datamodules.base import EvalEpisodes, TrainEpisodes
from adaptbench.lit_modules.optimization import Optimization

# Changes of the way a spec is hashed rename every published run: bump RESULTS_VERSION, then look at these again.
GOLDEN = {"episodic": "a0192633cea6ee5c", "pretrain": "a60bc068112b0897", "transfer": "32d27c62fc943d85"}


def cell(path, name, seed=0):
    cells = load_suite(str(path)).cells()
    return next(c for c in cells if c.attributes.learner == name and c.attributes.seed == seed)


@pytest.mark.parametrize("name", sorted(suite_files()))
def test_suites_that_ship_can_be_read_and_have_distinct_cells(name):
    suite = load_suite(name)
    assert suite.suite == name
    ids = [cell.spec.run_id for cell in suite.cells()]
    assert len(set(ids)) == len(ids) > 0


def test_the_grid_is_every_task_value_learner_and_seed(write_suite):
    path = write_suite(seeds=(0, 3), over={"train_functions": [4, None], "noise": [0.0, 0.5]})
    suite = load_suite(str(path))
    cells = {
        (c.attributes.train_classes, c.spec.training.task.init_args["noise"], c.attributes.learner,
         c.attributes.seed)
        for c in suite.cells()
    }  # fmt: skip
    assert len(suite.cells()) == len(cells) == 2 * 2 * 2 * 2
    assert (None, 0.5, "fine_tuning", 3) in cells
    assert isinstance(cell(path, "deep_sets").spec, EpisodicSpec)
    assert isinstance(cell(path, "fine_tuning").spec, TransferSpec)


@pytest.mark.parametrize(
    ("changes", "field", "nearest"),
    [
        ({"lerners": {}}, "tasks.0.lerners", "learners"),
        ({"task.init_arg": {}}, "tasks.0.task.init_arg", "init_args"),
        ({"budget.epoch": 1}, "tasks.0.budget.epoch", "epochs"),
        ({"train.shot": 1}, "tasks.0.train.shot", "shots"),
        ({"test.query": 1}, "tasks.0.test.query", "queries"),
        ({"learners.deep_sets.optimisation": {}}, "tasks.0.learners.deep_sets.optimisation", "optimization"),
        ({"learners.deep_sets.optimization": {"lrr": 1}}, "learners.deep_sets.optimization.lrr", "lr"),
        ({"learners.deep_sets.learner.nam": 1}, "learners.deep_sets.learner.nam", "name"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_right_one(changes, field, nearest, write_suite):
    path = write_suite(**changes)
    with pytest.raises(SuiteError) as error:
        load_suite(str(path))
    assert str(error.value).startswith(str(path))
    assert field in str(error.value)
    assert f"Did you mean `{nearest}`?" in str(error.value)


def test_an_unknown_key_of_the_suite_itself_is_named(tmp_path, write_suite):
    content = yaml.safe_load(write_suite().read_text()) | {"sedes": [1]}
    path = tmp_path / "typo.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(SuiteError, match=r"unknown key `sedes`. Did you mean `seeds`?"):
        load_suite(str(path))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"budget.examples": "many"}, "tasks.0.budget.examples"),
        ({"budget.examples": 0}, "tasks.0.budget.examples"),
        ({"budget.examples": 159}, "at least 160 `examples`, a pool for each device in each epoch, but got 159"),
        ({"trainer": {"devices": 5}}, "at least 800 `examples`"),
        ({"budget": "many"}, "`tasks.0.budget`: expected a mapping but got 'many'"),
        ({"test.episodes": 1}, "at least 2 test `episodes`, for an interval, but got 1"),
        ({"budget.selection": "test"}, "tasks.0.budget.selection"),
        ({"train.shots": []}, "tasks.0.train"),
        ({"train.shots": [0]}, "positive integer but got 0"),
        ({"train.pool": 3}, "`pool` to hold an episode of 10"),
        ({"test": None}, "tasks.0.test"),
        ({"over": {"train_functions": 5}}, "tasks.0.over.train_functions"),
        ({"over": {"train_functions": []}}, "tasks.0.over.train_functions"),
        ({"learners": {}}, "tasks.0.learners"),
        ({"learners.deep_sets": {}}, "either `learner` or `strategy`"),
        ({"learners.deep_sets.strategy": {"name": "fine_tuning"}}, "either `learner` or `strategy`"),
        ({"learners.deep_sets.departs_from": "fine_tunin"}, "got `fine_tunin`. Did you mean `fine_tuning`?"),
        ({"learners.deep_sets.departs_from": "deep_sets"}, "a learner that departs from none but got `deep_sets`"),
    ],
)
def test_wrong_values_are_refused_with_their_place(changes, complaint, write_suite):
    path = write_suite(**changes)
    with pytest.raises(SuiteError) as error:
        load_suite(str(path))
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_seed_that_stands_twice_is_refused(write_suite):
    with pytest.raises(SuiteError, match=r"`seeds`: .*distinct seeds but got 0, 0"):
        load_suite(str(write_suite(seeds=(0, 0))))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("suite: [", "not valid YAML"),
        ("\x00", "not valid YAML"),
        ("", "hold a suite, with the keys `suite`, .* but it is empty"),
        ("- 1", "but it is a list"),
        ("just words", "but it is a str"),
        ("&a [*a]", "contains itself"),
        ("suite: a\nsuite: b", "key `suite` twice"),
        ("[" * 5000, "not valid YAML"),
    ],
)
def test_what_is_no_suite_is_refused_with_a_sentence(text, complaint, tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(SuiteError, match=complaint) as error:
        load_suite(str(path))
    assert str(path) in str(error.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_bytes(b"\xff\xfe\xfa\x00\xd8")
    with pytest.raises(SuiteError, match="not valid YAML"):
        load_suite(str(path))


def test_yaml_tags_execute_nothing(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text(f"suite: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n")
    with pytest.raises(SuiteError, match="not valid YAML"):
        load_suite(str(path))
    assert not (tmp_path / "made").exists()


def test_an_unknown_suite_gets_the_nearest_one():
    with pytest.raises(SuiteError, match=r"Expected a suite or a YAML file but got `smok`. Did you mean `smoke`?"):
        load_suite("smok")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"task.name": "sinusoids"}, "Expected a known task but got `sinusoids`. Did you mean `sinusoid`?"),
        ({"learners.deep_sets.learner": {"name": "deepsets"}}, "Did you mean `deep_sets`?"),
        ({"learners.fine_tuning.strategy.name": "tuning"}, "Did you mean `fine_tuning`?"),
        ({"task.name": "no_such_module.Task"}, "`no_such_module.Task` cannot be imported"),
    ],
)
def test_unknown_names_get_the_nearest_known_ones(changes, complaint, write_suite):
    path = write_suite(**changes)
    with pytest.raises(SuiteError, match="Expected a") as error:
        load_suite(str(path))
    assert complaint in str(error.value) and str(path) in str(error.value)


def test_a_wrong_key_of_a_source_gets_the_nearest_one(write_suite):
    sources = [{"name": "glyphs", "init_arg": {}}]
    with pytest.raises(SuiteError, match=r"unknown key `.*init_arg`. Did you mean `init_args`\?"):
        load_suite(str(write_suite(**{"learners.fine_tuning.pretraining_sources": sources})))


def test_old_dotted_paths_are_refused_with_their_new_names(write_suite):
    path = write_suite(**{"learners.deep_sets.learner": {"name": "lit_modules.deep_sets.DeepSets"}})
    with pytest.raises(SuiteError, match=r"whose name is now `adaptbench.lit_modules.deep_sets.DeepSets`"):
        load_suite(str(path))


@pytest.mark.parametrize("name", ["lit_modules.Own", "datamodules.mine.Own"])
def test_a_user_may_have_packages_of_those_names(name):
    assert find("learner", name).path == name


def test_numbers_with_an_exponent_are_numbers(write_suite):
    path = write_suite(**{"learners.fine_tuning.strategy.init_args.lr": 12345})
    path.write_text(path.read_text().replace("12345", "1e-3"))
    assert cell(path, "fine_tuning").spec.strategy.init_args["lr"] == 0.001


def test_a_test_is_on_what_its_key_says(write_suite):
    path = write_suite(**{"test.on": ["unseen", "seen"], "over": {"train_functions": [4]}})
    path.write_text(re.sub(r"['\"]on['\"]:", "on:", path.read_text()))
    assert " on:" in path.read_text(), "a word that YAML 1.1 takes for true"
    assert {cell.spec.test.on for cell in load_suite(str(path)).cells()} == {("unseen", "seen")}


def test_golden_run_ids(episodic, pretraining, transfer):
    specs = {"episodic": episodic(), "pretrain": pretraining(), "transfer": transfer()}
    assert {kind: spec.run_id for kind, spec in specs.items()} == GOLDEN


@pytest.mark.parametrize(
    "change",
    [
        *({"task__init_args": {"noise": 0.1}}, {"task__init_args": {"train_functions": 5}}),
        *({"train__shots": [5, 6]}, {"train__queries": 4}, {"train__pool": 41}),
        *({"test__shots": [5]}, {"test__queries": 4}, {"test__episodes": 21}),
        *({"encoder__init_args__width": 9}, {"learner__init_args__width": 9}, {"learner__name": "attention"}),
        *({"budget__examples": 641}, {"budget__epochs": 5}, {"budget__selection": "best"}),
        *({"optimization__lr": 0.1}, {"optimization__weight_decay": 0.0}, {"optimization__warmup": 0.2}),
        *({"optimization__clip": None}, {"seed": 1}, {"results_version": 99}),
    ],
    ids=str,
)
def test_run_id_depends_on_every_field_that_matters(change, episodic):
    assert episodic(**change).run_id != episodic().run_id


def test_run_id_depends_on_nothing_else(write_suite):
    plain = write_suite("plain")
    dressed = write_suite("dressed", **{"learners.deep_sets.label": "Sets", "learners.fine_tuning.label": "Tuned"})
    text = dressed.read_text()
    dressed.write_text(text.replace("description: Tiny.", "description: Another.").replace("version: 1", "version: 9"))
    for name in ("deep_sets", "fine_tuning"):
        first, second = cell(plain, name), cell(dressed, name)
        assert first.spec == second.spec
        assert first.spec.run_id == second.spec.run_id
        assert first.attributes.label != second.attributes.label


def test_run_id_is_the_same_for_defaults_and_for_the_same_values_spelled_out(episodic, pretraining, transfer):
    assert episodic(optimization__lr=1e-3, budget__selection="last").run_id == episodic().run_id
    assert episodic(optimization__clip=1).run_id == episodic(optimization__clip=1.0).run_id
    assert episodic(trainer={"precision": "float32"}).run_id == episodic().run_id
    assert episodic(trainer={"precision": "bf16"}).run_id != episodic().run_id
    assert episodic(train__ways=None, trainer={"devices": 1}).run_id == episodic(trainer={}).run_id == episodic().run_id
    assert episodic(task__init_args={}).run_id == episodic().run_id
    assert episodic(encoder__weights="").run_id == episodic().run_id
    assert pretraining(pretraining={"head": "linear"}, label_smoothing=0).run_id == pretraining().run_id
    assert transfer().model_copy(update={"rivals": ()}).run_id == transfer().run_id


class WiderBudget(Budget):
    new: int = 3


def test_a_new_field_with_a_default_changes_no_id(episodic, transfer):
    """Wherever the field is added: to a spec, to a model within it, or to a dataclass within it."""

    class WiderSpec(EpisodicSpec):
        new: int | None = None
        budget: WiderBudget
        optimization: make_dataclass(
            "WiderOptimization", [("new", float, 0.5)], bases=(Optimization,), frozen=True, kw_only=True
        )

    content = json.loads(episodic().model_dump_json())
    assert WiderSpec(**content).run_id == episodic().run_id
    for changed in ({"new": 1}, {"budget": content["budget"] | {"new": 4}}, {"optimization": {"new": 0.1}}):
        assert WiderSpec(**{**content, **changed}).run_id != episodic().run_id

    class WiderTransfer(TransferSpec):
        new: bool = False

    content = json.loads(transfer().model_dump_json())
    assert WiderTransfer(**content).run_id == transfer().run_id
    assert WiderTransfer(**content, new=True).run_id != transfer().run_id


def test_no_default_changes_while_ids_leave_it_out():
    """A default that changes gives other runs the ids of old ones: bump RESULTS_VERSION, then look at these again."""
    models = (Budget, Pretraining, TrainerOptions, EpisodicSpec, PretrainSpec, TransferSpec)
    found = {
        model.__name__: {n: f.default for n, f in model.model_fields.items() if not f.is_required()} for model in models
    }
    found |= {
        each.__name__: {field.name: field.default for field in fields(each)}
        for each in (TrainEpisodes, EvalEpisodes, Optimization)
    }
    training = {"results_version": 5, "trainer": TrainerOptions(devices=1)}
    pretraining = {"objective": "joint", "head": "linear", "head_scale": 10.0}
    golden = {
        "Budget": {"epochs": 4, "val_episodes": 100, "selection": "last"},
        "Pretraining": pretraining,
        "TrainerOptions": {"devices": 1, "precision": "float32"},
        "EpisodicSpec": {**training, "kind": "episodic", "rivals": ()},
        "PretrainSpec": {**training, "label_smoothing": 0.0, "pretraining": Pretraining(**pretraining)},
        "TransferSpec": {"results_version": 5, "rivals": ()},
        "TrainEpisodes": {"ways": None, "episodes": None},
        "EvalEpisodes": {"ways": None},
        "Optimization": {"lr": 1e-3, "weight_decay": 0.01, "warmup": 0.1, "clip": 1.0},
    }
    for name, defaults in golden.items():
        assert found[name] == found[name] | defaults, name


@pytest.mark.parametrize("kind", ["episodic", "pretraining", "transfer"])
def test_the_id_always_holds_version_and_kind(kind, request):
    spec = request.getfixturevalue(kind)()
    content = json.loads(spec.canonical_json())
    assert (content["results_version"], content["kind"]) == (RESULTS_VERSION, spec.kind)
    assert RUN_SPEC.validate_python(content) == spec
    assert spec.model_copy(update={"results_version": 99}).run_id != spec.run_id


def test_transfer_runs_of_a_task_share_one_pretraining(write_suite):
    path = write_suite(
        learners=("fine_tuning",),
        **{"learners.head": {"strategy": {"name": "fine_tuning", "init_args": {"moves": "head"}}}},
    )
    first, second = cell(path, "fine_tuning").spec, cell(path, "head").spec
    assert first.pretrained.run_id == second.pretrained.run_id
    assert first.run_id != second.run_id


def test_with_learner_adds_one_to_every_task(write_suite, own_learners):
    suite = load_suite(str(write_suite())).with_learner("own.Sound")
    (added,) = (c for c in suite.cells() if c.attributes.learner == "Sound")
    assert added.spec.learner.name == "own.Sound"
    assert (added.attributes.family, added.attributes.label) == ("own", "Sound")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
SIZES = st.integers(1, 20)
POSITIVE = st.floats(0, 9, exclude_min=True)


@st.composite
def specs(draw):
    common = {
        "task": {"name": draw(st.text()), "init_args": draw(st.dictionaries(st.text(), JSON, max_size=3))},
        "train": {"shots": draw(st.lists(SIZES, min_size=1, max_size=3)), "queries": draw(SIZES), "pool": 1000},
        "test": {"shots": draw(st.lists(SIZES, min_size=1, max_size=3)), "queries": draw(SIZES), "episodes": 9},
        "encoder": {"name": "mlp"},
        "budget": {"examples": draw(st.integers(1, 10**9)), "epochs": draw(SIZES)},
        "optimization": {"lr": draw(POSITIVE), "clip": draw(st.none() | POSITIVE)},
        "seed": draw(st.integers(0, 2**31)),
    }
    kind = draw(st.sampled_from(["episodic", "pretrain", "transfer"]))
    if kind == "episodic":
        return EpisodicSpec(**common, learner={"name": "lstm"})
    pretrained = PretrainSpec(**common, label_smoothing=draw(st.floats(0, 0.9)))
    if kind == "pretrain":
        return pretrained
    return TransferSpec(pretrained=pretrained, strategy={"name": "fine_tuning"}, test=common["test"])


@given(specs())
def test_a_spec_survives_json_and_keeps_its_id(spec):
    for text in (spec.model_dump_json(), json.dumps(spec.model_dump(mode="json"), indent=1, sort_keys=True)):
        again = RUN_SPEC.validate_json(text)
        assert again == spec
        assert again.run_id == spec.run_id


def test_budgets_are_an_axis_of_the_grid(write_suite):
    path = write_suite(learners=("deep_sets",), over={"examples": [640, 1280], "train_functions": [4, None]})
    content = yaml.safe_load(path.read_text())
    del content["tasks"][0]["budget"]["examples"]
    path.write_text(yaml.safe_dump(content))
    cells = load_suite(str(path)).cells()
    found = [(c.spec.budget.examples, c.attributes.examples, c.attributes.train_classes) for c in cells]
    assert found == [(640, 640, 4), (640, 640, None), (1280, 1280, 4), (1280, 1280, None)]
    assert all("examples" not in c.spec.task.init_args for c in cells)
    (plain,) = load_suite(str(write_suite(learners=("deep_sets",), over={"train_functions": [4]}))).cells()
    assert plain.spec.run_id == cells[0].spec.run_id and plain.attributes.examples is None
    for examples, complaint in (
        ([], "at least 1 item"),
        ([640, 0], "at least 160 `examples`"),
        (["many"], "valid integer"),
    ):
        content["tasks"][0]["over"] = {"examples": examples}
        path.write_text(yaml.safe_dump(content))
        with pytest.raises(SuiteError, match=complaint):
            load_suite(str(path))
    with pytest.raises(SuiteError, match="in `over` or in `budget`, but got both"):
        load_suite(str(write_suite(over={"examples": [640]})))
