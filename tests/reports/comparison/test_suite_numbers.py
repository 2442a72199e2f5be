"""Published numbers that a suite names, beside its own."""

import json

import pytest

from adaptbench.reports.comparison.published import read_numbers
from adaptbench.reports.errors import ReportError
from adaptbench.reports.report import write_report
from adaptbench.reports.sources.bundles import gather, unpack, write_bundle

HEADER = "task,protocol,method,learner,ways,shots,metric,value,encoder,citation"
THEIRS = f"""{HEADER}
birds,,Their LSTM,lstm,5,1,accuracy_pct,70.5,conv,"Doe et al., 2020"
birds,,Their transformer,,5,5,error_pct,10,,"Doe et al., 2020"
birds,another protocol,Elsewhere,lstm,5,1,accuracy_pct,60,,"Doe et al., 2020"
fish,,Typing error,lstm,5,1,accuracy_pct,60,,"Doe et al., 2020"
"""


def birds(folder, published, suite="birds"):
    for classes in (10, 20):
        for learner in ("lstm", "attention"):
            folder.plan("birds", learner, learner.upper(), "own", 0, classes, protocol="mine")
    folder.write_suite(suite).finish()
    path = folder.path / f"suites/{suite}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"published": published}))
    return folder.path


def test_numbers_of_a_suite_stand_beside_its_learners_with_most_classes_and_the_others_are_named(folder, tmp_path):
    report = write_report(birds(folder, THEIRS), tmp_path / "report")
    table = next(each for each in report.tables if each.name == "published")
    found = table.frame[table.frame["match"] != ""]
    assert found[
        ["method", "learner", "train_classes", "shots", "published", "differs_in", "task"]
    ].values.tolist() == [
        ["Their LSTM", "lstm", 20, 1, 0.705, "", "birds"],
        ["Their transformer", report.comparisons[0].best_first(-1)[0].learner, 20, 5, 0.9, "method", "birds"],
    ]
    assert found["difference"].notna().tolist() == [True, False]
    assert report.notes == (
        "2 published numbers of the suite, beside none of its results: Elsewhere (5-way 1-shot on birds); Typing error "
        "(5-way 1-shot on fish).",
    )
    latex = (tmp_path / "report/published.tex").read_text()
    assert "Doe et al., 2020" in latex and r"\cite" not in latex


def test_a_report_of_several_suites_has_the_numbers_of_each_once(folder, tmp_path):
    (head, first, second, *_) = THEIRS.splitlines()
    birds(folder, f"{head}\n{first}\n")
    fewer_columns = "citation,task,method,shots,metric,value,ways\nDoe,birds,More,1,accuracy_pct,60,5\n"
    for name, numbers in (("more", f"{head}\n{first}\n{second}\n"), ("other", fewer_columns), ("none", "")):
        birds(folder, numbers, name)
    report = write_report(folder.path, tmp_path / "report", suite=["birds", "more", "other", "none"])
    table = next(each for each in report.tables if each.name == "published").frame
    assert sorted(table["method"][table["match"] != ""]) == ["More", "Their LSTM", "Their transformer"]
    (folder.path / "suites/other.json").write_text(
        (folder.path / "suites/other.json").read_text().replace("60,5", "x,5")
    )
    with pytest.raises(ReportError, match="line 2 of the published numbers of suite other"):
        write_report(folder.path, tmp_path / "report", suite=["birds", "other"])


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("birds,,A,,5,one,mse,1,,D", "Expected field `shots` of line 2 of it to be a valid integer"),
        (
            "birds,,A,,5,1,auc,1,,D",
            "Expected field `metric` of line 2 of it to be 'accuracy_pct', ",
        ),
        ("birds,,A,,5,1,mse,nan,,D", "Expected field `value` of line 2 of it"),
        ("birds,,,,5,1,mse,1,,D", "Expected line 2 of it to have a field `method` but it has none."),
        ("birds,,A,,5,1,mse,1", "Expected line 2 of it to have a field `citation` but it has none."),
        ("birds,,A,,5,1,mse,1,,Doe, 2020", "Expected line 2 of it to have a field for each column but it has more."),
    ],
)
def test_a_wrong_line_is_one_sentence(line, complaint):
    with pytest.raises(ReportError) as error:
        read_numbers(f"{HEADER}\n{line}\n", "it")
    assert str(error.value).startswith(complaint)


@pytest.mark.parametrize("text", ['"' + "x\n" * 70_000, "birds,A\rbirds,B\n"], ids=["a lone quote", "old line ends"])
def test_what_is_no_csv_file_is_one_sentence(text):
    for content in (text, f"{HEADER}\n{text}"):
        with pytest.raises(ReportError, match="Expected it to be a CSV file but got at line"):
            read_numbers(content, "it")


def test_an_unknown_column_gets_the_nearest_known_one():
    with pytest.raises(ReportError, match=r"it has an unknown column `shot`. Did you mean `shots`\?"):
        read_numbers("task,shot\n", "it")
    assert read_numbers("", "it") == ()


def test_a_bundle_has_them(folder, tmp_path):
    birds(folder, THEIRS)
    wanted, runs = gather([folder.path])
    write_bundle(wanted, runs, tmp_path / "birds.zip")
    assert unpack(tmp_path / "birds.zip", tmp_path / "unpacked").suite.published == THEIRS
