"""Malformed suites: each gets one clear message with the file, none a traceback, none runs anything."""

import copy
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adaptbench.benchmarks.executors.plan import make_plan
from adaptbench.benchmarks.suites.suite import SuiteError, load_suite

TRAP = "ADAPTBENCH_FUZZ_TRAP"
WRONG = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=8),
    st.just([]), st.just({}),
    st.lists(st.integers(), max_size=3), st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
    st.sampled_from(["os.system", "subprocess.Popen", "no_such.Thing", "builtins.exec", "math.pi", "."]),
)  # fmt: skip
TAGS = st.sampled_from(
    [
        "!!python/object/apply:os.putenv [TRAP, sprung]", "!!python/name:os.system", "!!python/module:os", "!!bool x",
        "!!int x", "!!float []", "!!timestamp x", "!!binary x", "!!set {a}", "!!omap [a: 1]", "!local 1", "2026-13-45",
        "&a [*a]", "&b {c: *b}", "*missing", "[" * 500, "'unclosed", "{a: 1, a: 2}", "? [x, y]\n: 1", "\t-", "%TAG ! x",
    ]
)  # fmt: skip


def places(value, where=()):
    """Yields the path of every value in a suite."""
    yield where
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*where, key))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture
def suite(write_suite):
    return yaml.safe_load(write_suite(over={"noise": [0.0, 0.5]}).read_text())


def malform(data, suite):
    """Writes the suite with something wrong in it, as bytes."""
    broken = {"top": copy.deepcopy(suite)}
    where = data.draw(st.sampled_from([("top", *path) for path in places(suite)]))
    place = broken
    for key in where[:-1]:
        place = place[key]
    kind = data.draw(st.sampled_from(["value", "key", "missing", "huge", "tag", "bytes"]))
    if kind == "value":
        place[where[-1]] = data.draw(WRONG)
    elif kind == "key" and isinstance(place[where[-1]], dict):
        place[where[-1]][data.draw(st.text(min_size=1, max_size=6))] = data.draw(WRONG)
    elif kind == "missing":
        del place[where[-1]]
    elif kind == "huge":
        broken["top"]["seeds"] = list(range(3000))
        broken["top"]["tasks"][0]["over"]["noise"] = [index / 1000 for index in range(1000)]
    elif kind == "tag":
        place[where[-1]] = "MALFORMED"
    text = yaml.safe_dump(broken.get("top"), allow_unicode=True).replace("MALFORMED", data.draw(TAGS), 1)
    content = text.encode("utf-8", "surrogatepass")
    if kind == "bytes":
        at = data.draw(st.integers(0, len(content)))
        content = content[:at] + data.draw(st.binary(min_size=1, max_size=4)) + b"\xff" + content[at:]
    return content


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_malformed_suites_are_refused_in_one_sentence(data, suite, folder):
    path = Path(folder) / "malformed.yaml"
    path.write_bytes(malform(data, suite))
    try:
        cells = load_suite(str(path)).cells()
    except SuiteError as error:
        message = str(error)
        assert str(path) in message and "Traceback" not in message and "\n" not in message.strip()
        assert len(message) < 2000
    else:
        assert all(len(cell.spec.run_id) == 16 for cell in cells), "a suite that is none the worse"
    assert TRAP not in os.environ


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_can_be_read_can_be_planned_or_is_refused(data, suite, folder):
    arguments = suite["tasks"][0]
    for where in (arguments["encoder"]["init_args"], arguments["learners"]["deep_sets"]["learner"]["init_args"]):
        where[data.draw(st.sampled_from(sorted(where)))] = data.draw(WRONG)
    path = Path(folder) / "strange.yaml"
    path.write_text(yaml.safe_dump(suite), encoding="utf-8")
    try:
        plan = make_plan(load_suite(str(path)))
    except ValueError as error:
        assert "Traceback" not in str(error) and str(error)
    else:
        assert plan.runs()


@pytest.mark.parametrize("name", ["subprocess.Popen", "os.system", "builtins.exec"])
def test_nothing_but_a_component_is_ever_called(name, suite, tmp_path):
    trap = tmp_path / "trap"
    suite["tasks"][0]["learners"]["deep_sets"]["learner"] = {
        "name": name, "init_args": {"args": ["touch", str(trap)], "command": f"touch {trap}", "source": "1"},
    }  # fmt: skip
    path = tmp_path / "trapped.yaml"
    path.write_text(yaml.safe_dump(suite), encoding="utf-8")
    with pytest.raises(ValueError, match="is not the class of a learner"):
        make_plan(load_suite(str(path)))
    assert not trap.exists()
