"""Figures and tables beside the main ones: which are made of what, and what they hold."""

import json
from dataclasses import replace
from itertools import combinations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from adaptbench.reports.comparison.comparison import compare
from adaptbench.reports.comparison.gains import gains
from adaptbench.reports.comparison.shot_matrix import shot_matrices
from adaptbench.reports.errors import ReportError
from adaptbench.reports.figures.canvas import _LogTicks, accuracy_ticks, new_figure, panel_grid, save
from adaptbench.reports.figures.carried import draw_carried
from adaptbench.reports.figures.fits import draw_fits
from adaptbench.reports.figures.ranks import _draw_rank_axis, draw_ranks
from adaptbench.reports.figures.scores import draw
from adaptbench.reports.figures.styles import line_styles, parameters
from adaptbench.reports.figures.trade_off import draw_trade_off
from adaptbench.reports.report import _drawings, write_report
from adaptbench.reports.results.manifest import read_suite
from adaptbench.reports.results.runs import read_outcomes


def names(report):
    return {path.stem.removesuffix("-data") for path in (*report.figures, *report.table_files)}


def read(folder):
    suite = read_suite(folder.path)
    outcomes = read_outcomes(folder.path, suite)
    return suite, outcomes, compare(outcomes)


def test_quick_has_every_figure_and_table(quick, tmp_path):
    report = write_report(quick.path, tmp_path / "out")
    common = {"figure", "time", "training", "ranks", "table", "gains", "compute"}
    wanted = {f"{kind}-{task}" for kind in common for task in ("omniglot", "sinusoid")}
    assert names(report) == wanted | {"shots-omniglot", "published"}


def test_a_figure_that_can_no_longer_be_drawn_is_removed(folder, tmp_path):
    folder.plan_quick(sizes=()).write_suite().finish()
    write_report(folder.path, tmp_path / "out")
    assert (tmp_path / "out" / "ranks-sinusoid.png").exists()
    for cell in folder.cells[1:]:
        folder.remove(cell)
    write_report(folder.path, tmp_path / "out")
    assert not (tmp_path / "out" / "ranks-sinusoid.png").exists()


def test_several_strategies_have_a_transfer_ablation(folder, tmp_path):
    strategies = {"head": ("Head only", "transfer"), "all": ("All weights", "transfer"), "lstm": ("LSTM", "recurrent")}
    folder.plan_quick(learners=strategies).write_suite().finish()
    report = write_report(folder.path, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "transfer-omniglot.csv")
    assert set(table["label"]) == {"Head only", "All weights"}
    whole = pd.read_csv(tmp_path / "out" / "table-omniglot.csv")
    merged = table.merge(whole, on=["learner", "train_classes", "shots"])
    assert merged["mean_x"].tolist() == merged["mean_y"].tolist()
    first, other = (table[table["learner"] == name].set_index(["train_classes", "shots"]) for name in ("head", "all"))
    assert first["difference"].isna().all()
    assert np.allclose(other["difference"], other["mean"] - first["mean"])
    assert "transfer-sinusoid" in names(report)


def carry(folder, cell, carried, spec):
    """Writes what a run carries over into its result, and its spec."""
    path = folder.path / cell["run_id"] / "result.json"
    result = json.loads(path.read_text())
    scores = [{**score, "carried": carried * score["shots"]} for score in result["scores"]]
    path.write_text(json.dumps({**result, "scores": scores}))
    (path.parent / "spec.json").write_text(json.dumps({"results_version": 4, **spec}))


def test_scores_are_drawn_over_the_numbers_carried_over(folder, tmp_path):
    learners = {f"deep_sets_{context}": (f"Deep sets, context of {context}", "sets") for context in (16, 64, 256)}
    others = {"lstm": ("LSTM", "recurrent"), "head": ("Head", "transfer"), "all": ("All weights", "transfer")}
    folder.plan_quick(learners={**learners, **others}).write_suite().finish()
    made = names(write_report(folder.path, tmp_path / "out"))
    assert not any(name.startswith("carried") for name in made), "old runs do not say"
    for cell in folder.cells:
        name, _, context = cell["learner"].rpartition("_")
        learner = {"name": name or "lstm", "init_args": {"context": int(context)} if name else {}}
        strategy = {"name": "fine_tuning", "init_args": {"moves": cell["learner"], "lr": 0.1}}
        spec = {"strategy": strategy} if cell["family"] == "transfer" else {"learner": learner}
        carry(folder, cell, int(context) if name else {"lstm": 100, "head": 645, "all": 9000}[cell["learner"]], spec)
    assert {"carried-omniglot", "carried-sinusoid"} <= names(write_report(folder.path, tmp_path / "out"))
    suite, _, comparisons = read(folder)
    figure = draw_carried(comparisons[0], line_styles(suite))
    assert [panel.get_title() for panel in figure.axes] == ["5-shot", "10-shot"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "Deep sets, context of …",
        "LSTM",
        "Head",
        "All weights",
    ]
    entries = {row[0].learner: row[1] for row in comparisons[0].entries}
    lines = [line for line in figure.axes[1].get_lines() if line.get_linestyle() != "None"]
    assert [line.get_xdata().tolist() for line in lines] == [[160, 640, 2560], [1000], [6450], [90_000]]
    assert lines[0].get_ydata().tolist() == pytest.approx([entries[name].interval.mean for name in learners])
    dots = [sorted(line.get_ydata()) for line in figure.axes[1].get_lines() if line.get_marker() == "."]
    assert dots[0] == sorted(row.mean() for row in entries["deep_sets_16"].samples.values())
    table = pd.read_csv(tmp_path / "out" / "carried-omniglot.csv").set_index(["learner", "shots"])
    assert set(table["train_classes"]) == {1028} and table.loc[("lstm", 5), "carried"] == 500
    assert "| Deep sets, context of 64 | 64 |" in (tmp_path / "out" / "carried-omniglot.md").read_text()


def test_learners_that_all_carry_over_one_number_have_a_table_and_no_figure(quick, tmp_path):
    for cell in quick.cells:
        if cell["learner"] != "lstm":
            carry(quick, cell, 8, {"learner": {"name": cell["learner"]}})
    report = write_report(quick.path, tmp_path / "out")
    (table,) = (table for table in report.tables if table.name == "carried-omniglot")
    assert table.caption.endswith(" Not shown, because they do not say how many: LSTM.")
    assert "carried-omniglot" in {path.stem for path in report.table_files}
    assert not any(path.stem.startswith("carried") for path in report.figures)


def test_training_shots_by_test_shots(folder, tmp_path):
    for learner, shots in (("one", [1]), ("five", [5]), ("both", [1, 5])):
        for seed in (0, 1):
            cell = folder.plan("omniglot", learner, learner, "recurrent", seed, 50)
            folder.write_run(cell)
            spec = {"results_version": 4, "learner": {"name": "lstm"}, "train": {"shots": shots}}
            (folder.path / cell["run_id"] / "spec.json").write_text(json.dumps(spec))
    folder.write_suite()
    _, _, (comparison,) = read(folder)
    (matrix,) = shot_matrices(comparison)
    assert (matrix.train, matrix.test) == (("1", "1, 5", "5"), (1, 5))
    rows = {row[0].learner: [entry.interval.mean for entry in row] for row in comparison.entries}
    assert matrix.means == tuple(tuple(rows[learner]) for learner in ("one", "both", "five"))
    assert "train-shots-1-omniglot" in names(write_report(folder.path, tmp_path / "out"))


def test_forms_of_a_component_have_matrices_of_their_own(folder):
    for encoder in ("mlp", "conv4"):
        for shots in (1, 5):
            cell = folder.plan("omniglot", f"{encoder} {shots}", "Prototypes", "metric", 0, 50)
            folder.write_run(cell)
            terms = {"learner": {"name": "prototypes"}, "encoder": {"name": encoder}, "train": {"shots": [shots]}}
            (folder.path / cell["run_id"] / "spec.json").write_text(json.dumps({"results_version": 4, **terms}))
    folder.write_suite()
    _, _, (comparison,) = read(folder)
    found = shot_matrices(comparison)
    assert [matrix.label for matrix in found] == ["prototypes, mlp, 5-way", "prototypes, conv4, 5-way"]
    means = [tuple(entry.interval.mean for entry in row) for row in comparison.entries]
    assert [*found[0].means, *found[1].means] == means


def test_fits_are_drawn_where_runs_keep_them(folder, tmp_path):
    folder.plan_quick(sizes=()).write_suite().finish()
    x = np.linspace(-5, 5, 20)
    fits = pd.DataFrame({"shots": 5, "function": 0, "role": "query", "x": x, "y": np.sin(x), "prediction": np.cos(x)})
    fits.loc[:4, "role"] = "support"
    fits.to_parquet(folder.path / folder.cells[0]["run_id"] / "fits.parquet")
    report = write_report(folder.path, tmp_path / "out")
    assert "fits-sinusoid" in names(report)
    fits.assign(shots=10).to_parquet(folder.path / folder.cells[2]["run_id"] / "fits.parquet")
    suite, _, comparisons = read(folder)
    panels = draw_fits(comparisons[0], line_styles(suite)).axes
    lines = [[line.get_gid() for line in panel.lines] for panel in panels]
    assert [len(own) for own in lines] == [3, 3] and lines[0][:2] == lines[1][:2], "truth, support set and prediction"


def test_a_fine_tuned_run_has_the_curve_of_its_pretraining(quick):
    run_id = quick.find(learner="fine_tuning", seed=0, train_classes=50)[0]["run_id"]
    folder = quick.path / run_id
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps(result | {"pretrained": "abc"}))
    (quick.path / "abc").mkdir()
    (folder / "curve.parquet").rename(quick.path / "abc" / "curve.parquet")
    _, outcomes, _ = read(quick)
    (curve,) = (each.curve for each in outcomes if each.cell.run_id == run_id)
    assert curve.examples == (25_000, 50_000, 75_000, 100_000)
    assert curve.values["val"] == (0.3, 0.5, 0.6, 0.7)


def test_damaged_curves_and_fits_cost_a_figure_and_nothing_else(quick, tmp_path):
    for cell in quick.cells:
        (quick.path / cell["run_id"] / "curve.parquet").write_bytes(b"PAR1")
        (quick.path / cell["run_id"] / "fits.parquet").write_bytes(b"")
    report = write_report(quick.path, tmp_path / "out")
    assert len(report.runs) == len(quick.cells)
    assert not {"training-omniglot", "fits-omniglot"} & names(report)
    for cell in quick.cells:
        own = [note for note in report.notes if f"(run {cell['run_id']})" in note]
        assert {"curve.parquet", "fits.parquet"} == {n for n in ("curve.parquet", "fits.parquet") if n in " ".join(own)}
        assert all(note.startswith("Left out beside the scores of") and "cannot be read" in note for note in own)


def test_trade_off_stands_at_the_recorded_times_of_its_setting(quick, tmp_path):
    suite, _, comparisons = read(quick)
    figure = draw_trade_off(comparisons[1], line_styles(suite))
    found = [
        {float(line.get_xdata()[0]) for line in panel.lines if len(line.get_xdata()) == 1} for panel in figure.axes
    ]
    assert [panel.get_title() for panel in figure.axes] == ["5-way 1-shot", "5-way 5-shot"]
    assert found == [{0.25}, {1.25}]
    write_report(quick.path, tmp_path / "out")
    costs = pd.read_csv(tmp_path / "out" / "compute-omniglot.csv")
    assert costs["predict_ms_per_episode"].tolist() == pytest.approx([0.75] * 4), "the mean over both"


def test_ranks_are_drawn_with_the_comparisons_of_the_table(quick):
    _, _, (_, comparison) = read(quick)
    texts = [text.get_text().strip() for text in draw_ranks(comparison).axes[0].texts]
    for row in comparison.entries:
        rank = np.mean([entry.rank for entry in row])
        worse = sum(entry.test is not None and entry.test.significant for entry in row)
        assert f"{row[0].label}\n{rank:.2f} (worse at {worse})" in texts


def test_long_names_of_ranks_take_two_lines_and_touch_no_neighbour(quick):
    _, _, (_, comparison) = read(quick)
    comparison = replace(
        comparison,
        entries=[[replace(entry, label=f"{entry.label}, told everything in pretraining") for entry in row]
                 for row in comparison.entries],
    )  # fmt: skip
    with matplotlib.rc_context(parameters()):
        figure = draw_ranks(comparison)
        figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if "worse at" in text.get_text()]
    names = [" ".join(text.get_text().split("\n")[:-1]) for text in figure.axes[0].texts]
    assert {row[0].label for row in comparison.entries} <= {*names}
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))


@pytest.mark.parametrize("count", [1, 2, 4])
def test_titles_stay_above_their_panel(tmp_path, count):
    figure, panels = panel_grid(count, most=count)
    for panel in panels:
        panel.set_title("1028 training characters, 5-way, 153,600 examples")
    save(lambda: figure, tmp_path / "figure")
    for panel in panels:
        box, title = panel.get_window_extent(), panel.title.get_window_extent()
        assert title.width < 1.15 * box.width


@pytest.mark.parametrize("count", [4, 12, 22, 60])
def test_no_numbers_of_ranks_touch(count):
    with matplotlib.rc_context(parameters()):
        figure = new_figure(0.5)
        _draw_rank_axis(figure.subplots(), count, 2)
        figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text().isdigit()]
    assert len(boxes) >= min(count, 5) and not any(one.overlaps(other) for one, other in combinations(boxes, 2))


def test_figures_have_the_intervals_of_the_table_and_a_dot_for_each_seed(quick):
    suite, _, (sinusoid, _) = read(quick)
    figure = draw(sinusoid, line_styles(suite), "shots")
    entries = sinusoid.all_entries()
    panel = figure.axes[0]
    bars = [tuple(segment[:, 1]) for bar in panel.collections for segment in getattr(bar, "get_segments", list)()]
    for entry in entries:
        assert any(bar == pytest.approx((entry.interval.lower, entry.interval.upper)) for bar in bars)
    dots = [sorted(line.get_ydata()) for line in panel.lines if line.get_marker() == "."]
    assert dots == [sorted(row.mean() for row in entry.samples.values()) for entry in entries]


def every_figure(folder):
    suite, _, comparisons = read(folder)
    for comparison in comparisons:
        for name, make in _drawings(comparison, line_styles(suite), gains(comparison)).items():
            if (figure := make()) is not None:
                yield f"{name}-{comparison.task}", figure


@pytest.mark.parametrize(("style", "scale"), [("paper", 1), ("talk", 2)])
def test_figures_have_the_printed_width_and_letters_that_can_be_read(quick, style, scale):
    with matplotlib.rc_context(parameters(style)):
        figures = dict(every_figure(quick))
    assert len(figures) >= 9
    for name, figure in figures.items():
        width = figure.get_figwidth() * 72.27 / scale
        assert width == pytest.approx(345) or width == pytest.approx(165), name
        sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()}
        assert min(sizes) >= 7 * scale, name


def test_a_style_or_font_that_there_is_not_is_refused():
    with pytest.raises(ReportError, match=r"Expected a style but got `papre`\. Did you mean `paper`"):
        parameters("papre")
    with pytest.raises(ReportError, match="Expected a font that matplotlib finds"):
        parameters(font="No Such Letters")
    assert parameters(font="serif")["font.family"] == "serif"


def test_the_data_behind_a_figure_is_the_table_and_the_seeds(quick, tmp_path):
    write_report(quick.path, tmp_path)
    data, table = (
        pd.read_csv(tmp_path / f"{name}-omniglot{end}.csv") for name, end in (("shots", "-data"), ("table", ""))
    )
    for shown in ("mean", "lower", "upper"):
        assert sorted(data.loc[data["shown"] == shown, "y"]) == pytest.approx(sorted(100 * table[shown]))
    assert (data["shown"] == "seed").sum() == 2 * len(table)


@pytest.mark.parametrize(("low", "high", "ticks"), [(0.38, 1.05, [0.5, 0.7, 1]), (0.004, 3, [0.01, 0.1, 1])])
def test_a_logarithmic_axis_has_three_ticks_or_more(low, high, ticks):
    assert _LogTicks().tick_values(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize(("low", "high", "ticks"), [
    (3.3, 98.9, [98, 95, 90, 80, 60, 40, 20, 10, 5]), (78, 96, [95, 90, 80]), (97.5, 99.85, [99.8, 99.5, 99, 98]),
])  # fmt: skip
def test_the_ticks_of_accuracies_have_room(low, high, ticks):
    assert accuracy_ticks(low, high) == ticks


def test_accuracies_near_the_best_are_drawn_on_a_logit_axis(quick):
    suite, _, (_, omniglot) = read(quick)
    panel = draw(omniglot, line_styles(suite), "shots").axes[0]
    places = panel.transData.transform([(1, 80.0), (1, 90.0), (1, 95.0), (1, 97.5)])[:, 1]
    assert np.diff(places).min() > 0.8 * np.diff(places).max()
