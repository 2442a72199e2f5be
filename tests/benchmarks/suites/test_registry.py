"""Names of components: nearest names, and where classes with an old dotted path are now."""

import pytest

from adaptbench.benchmarks.suites.registry import KINDS, find, load


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("lit_modules.attention.Attention", "adaptbench.lit_modules.attention.Attention"),
        ("lit_modules.chosen.ChosenFineTuning", "adaptbench.lit_modules.cross_validated.ChosenFineTuning"),
        ("adaptbench.lit_modules.chosen.ChosenFineTuning", "adaptbench.lit_modules.cross_validated.ChosenFineTuning"),
        ("lit_modules.rules.Rates", "adaptbench.lit_modules.rates.Rates"),
        ("lit_modules.anil.ANIL", "adaptbench.lit_modules.maml.ANIL"),
        ("lit_modules.learn2learn_import.inner_loop", "adaptbench.lit_modules.learn2learn_maml.inner_loop"),
    ],
)
def test_an_old_dotted_path_is_refused_with_its_new_one(old, new):
    with pytest.raises(ValueError, match="whose name is now") as error:
        find("learner", old)
    assert f"`{old}`, whose name is now `{new}`." in str(error.value)
    assert find("learner", new).path == new


def test_what_is_called_so_today_is_found():
    assert find("learner", "adaptbench.lit_modules.attention.Attention").family == "own"
    assert find("learner", "own.rules.Rates").path == "own.rules.Rates"
    for name in KINDS["strategy"]:
        assert load("strategy", name).__name__ in find("strategy", name).path
