"""What the laboratories of the page are given."""

import pandas as pd

from adaptbench.reports.page.laboratory import _pictures


def fits(prediction):
    rows = [(5, 0, "support", -1.0, 0.5, None), (5, 0, "query", 0.0, 0.0, 0.25), (5, 0, "query", 1.0, 1.0, prediction)]
    return pd.DataFrame(rows, columns=["shots", "function", "role", "x", "y", "prediction"])


def test_a_run_whose_predictions_are_no_numbers_has_no_curve():
    (picture,) = _pictures({"sound": fits(0.5), "diverged": fits(float("inf")), "lost": fits(float("nan"))})
    assert picture["curves"] == {"sound": [0.25, 0.5]}


def test_a_function_that_the_first_run_lacks_is_pictured_too():
    first, second = _pictures({"five": fits(0.5), "ten": fits(0.75).assign(shots=10)})
    assert (first["name"], first["curves"]) == ("function 1, 5 points", {"five": [0.25, 0.5]})
    assert (second["name"], second["curves"]) == ("function 1, 10 points", {"ten": [0.25, 0.75]})
