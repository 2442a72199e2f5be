"""What a run is made from."""

from adaptbench.benchmarks.suites.spec import RUN_SPEC


def test_mappings_in_arguments_have_the_order_of_the_stored_spec(episodic):
    grid = {"moves": ["head", "all"], "lr": [0.1]}
    spec = episodic(learner={"name": "own.Learner", "init_args": {"grid": grid, "each": [{"b": 1, "a": 2}]}})
    again = RUN_SPEC.validate_json(spec.canonical_json())
    for made in (spec, again):
        assert list(made.learner.init_args["grid"]) == ["lr", "moves"]
        assert list(made.learner.init_args["each"][0]) == ["a", "b"]
