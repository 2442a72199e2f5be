"""LaTeX: escaping, and a real compiler, in which every table fits the text of an article in its normal size."""

import re
import shutil
import subprocess

import pandas as pd
import pytest

from adaptbench.reports.report import write_report
from adaptbench.reports.tables.markup.fit import letters_width
from adaptbench.reports.tables.markup.latex import escape_latex, to_latex
from adaptbench.reports.tables.table import Table, TableCell

pytestmark = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
LONG = "Encoder frozen, rate chosen by leave-one-out in the support set"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 % of $5 & #1_a", r"50 \% of \$5 \& \#1\_a"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("93.4 ± 0.8 †", r"93.4 $\pm$ 0.8 $\dagger$"),
        ("Größe 中", "Größe [U+4E2D]"),
        ("[f](g)", "{[}f](g)"),
        ("[-1.5, 5-way 2-3] A~U", r"{[}$-$1.5, 5-way 2-3] A$\sim$U"),
        ("-2.10e-05 1e+02 3e5f", r"$-$$2.10\times10^{-5}$ $1\times10^{2}$ 3e5f"),
    ],
)
def test_latex_is_escaped(text, expected):
    assert escape_latex(text) == expected


def test_tables_compile_in_a_minimal_article(folder, nasty, tmp_path):
    folder.plan_quick(learners=nasty)
    folder.write_suite().finish(folder.cells[1:], at_chance=True)
    folder.fail(folder.cells[0], "a reason with % and _ and \\end{document}")
    assert_fits(tmp_path / "out", written(folder, tmp_path / "out"))


def test_tables_of_a_suite_fit(quick, tmp_path):
    names = written(quick, tmp_path / "out")
    assert {name.partition("-")[0] for name in names} == {"table", "gains", "compute", "published"}
    assert_fits(tmp_path / "out", names)


def test_tables_of_a_large_suite_fit_and_go_over_pages(folder, tmp_path):
    protocol = "random (seed 0), rotations in training and test, augmented"
    for number, learner in enumerate(("lstm", "deep_sets", "attention", "snail", "prototypes", "maml", "anil")):
        for size in (50, 1100):
            label = f"{learner}, with a label of some length" if number % 2 else learner
            tests = [(ways, shots) for ways in (5, 20) for shots in (1, 5)]
            folder.plan("omniglot", learner, label, "attention", 0, size, protocol=protocol, tests=tests)
            folder.plan("omniglot", f"rule {number}", LONG, "transfer", 0, size, protocol=protocol, tests=tests)
    folder.write_suite().finish()
    names = written(folder, tmp_path / "out")
    assert "transfer-omniglot" in names
    assert_fits(tmp_path / "out", names)
    assert r"\caption{Continued.}" in (tmp_path / "out" / "published.tex").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_article_holds_everything_that_ships(tmp_path):
    report = write_report("quick", tmp_path)
    tables = [path.stem for path in report.table_files if path.suffix == ".tex"]
    figures = [path for path in report.figures if path.suffix == ".pdf"]
    for path in figures:
        width = float(re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", path.read_bytes())[1]) * 72.27 / 72
        assert width == pytest.approx(345, abs=0.1) or width == pytest.approx(165, abs=0.1), path.name
    assert_fits(tmp_path, tables, [path.stem for path in figures])


@pytest.mark.parametrize("groups", [True, False])
@pytest.mark.parametrize("text_columns", [(), (0,), (0, 3), (3,)])
def test_any_table_fits(groups, text_columns, tmp_path):
    """Many columns, wide groups, bold numbers with marks, ends of intervals, and labels of any length."""
    cells = tuple(
        TableCell(LONG[: 10 * index], index == 3, marks=("a",))
        if index in text_columns
        else TableCell("-98.765", index % 2 == 0, ("≈", "ab"), ends="[-12.345, +99.999]")
        for index in range(12)
    )
    table = Table(
        name="wide",
        title="",
        caption="A wide table.",
        frame=pd.DataFrame(),
        columns=tuple(f"5-way {2**index}-shot" for index in range(12)),
        rows=(("A", cells), (LONG, cells[::1]), (LONG, tuple(TableCell("—", missing=True) for _ in cells))),
        groups=(("", 1), ("one column of 1028 training characters", 1), ("200 characters", 10)) if groups else (),
        notes=(("a", "a note"),),
        text_columns=text_columns,
    )
    (tmp_path / "wide.tex").write_text(to_latex(table), encoding="utf-8")
    assert_fits(tmp_path, ["wide"])


def written(folder, out):
    report = write_report(folder.path, out)
    return [path.stem for path in report.table_files if path.suffix == ".tex"]


def assert_fits(folder, names, figures=()):
    """Compiles articles of one and of two columns with these tables and figures, and a reference to each table."""
    for name in names:
        sizes = set(re.findall(r"\\(tiny|scriptsize|small)\b", (folder / f"{name}.tex").read_text(encoding="utf-8")))
        assert not sizes, name
    inputs = "\n".join(
        rf"\input{{{name}}} Table~\ref{{tab:{name.removeprefix('table-')}}}.\clearpage" for name in names
    )
    float_ = r"figure\ifdim\columnwidth<345pt*\fi"
    for name in figures:
        inputs += rf"\begin{{{float_}}}\includegraphics{{{name}}}\end{{{float_}}}\clearpage"
    cites = any(r"~\cite" in (folder / f"{name}.tex").read_text(encoding="utf-8") for name in names)
    if cites:
        inputs += r"\bibliographystyle{plain}\bibliography{published}"
    for columns in ("onecolumn", "twocolumn"):
        head = rf"\documentclass[{columns}]{{article}}\usepackage{{booktabs,graphicx,url}}"
        article = rf"{head}\begin{{document}}{inputs}\end{{document}}"
        (folder / "article.tex").write_text(article, encoding="utf-8")
        said = compiled(folder, cites=cites)
        assert b"undefined" not in said
        assert b"Float too large" not in said
        wide = [float(points) for points in re.findall(rb"Overfull .hbox \(([\d.]+)pt too wide", said)]
        assert max(wide, default=0.0) < 1, columns


def compiled(folder, *, cites):
    """What LaTeX said last."""
    latex = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "article.tex"]
    for command in [latex, *([["bibtex", "article"], latex] if cites else []), latex]:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout.decode("utf-8", errors="replace")[-2000:]
    return done.stdout.replace(b"\n", b"")


@pytest.mark.parametrize("count", range(12, 44))
def test_a_short_note_stands_with_its_table(count):
    rows = tuple((f"Learner {number}", (TableCell("90.1", ends="[89.0, 91.2]"),)) for number in range(count))
    table = Table("table-t", "", "Caption.", pd.DataFrame(), ("1 shot",), rows, notes=(("a", "not finished"),))
    floats = to_latex(table).split(r"\end{table")[:-1]
    assert all("tabular" in each for each in floats) and "not finished" in floats[-1]


def test_a_minus_is_wider_than_a_hyphen():
    assert letters_width("-1") == pytest.approx(letters_width("+1"), abs=0.2)
    assert letters_width("x-1") == pytest.approx(letters_width("x1") + 3.4)
