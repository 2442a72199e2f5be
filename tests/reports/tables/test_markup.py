"""Markdown and LaTeX: escaping, and a real compiler."""

import re
import shutil
import subprocess

import pytest

from adaptbench.reports.report import write_report
from adaptbench.reports.tables.markup import escape_latex, escape_markdown

NASTY = {
    "<script>alert(1)</script>": ("<script>alert(1)</script>", "one"),
    "_x_%&$y$": ("_x_%&$y$", "two"),
    "rest": ("| `b` *c* \\d {e} ~^ #\" ' [f](g) line\nbreak Größe 中", "three"),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fine_tuning", r"fine\_tuning"),
        ("<b> & </b>", "&lt;b&gt; &amp; &lt;/b&gt;"),
        ("a | b\nc", r"a \| b c"),
        ("$x$ *y* [z]", r"\$x\$ \*y\* \[z\]"),
    ],
)
def test_markdown_is_escaped(text, expected):
    assert escape_markdown(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50 % of $5 & #1_a", r"50 \% of \$5 \& \#1\_a"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("93.4 ± 0.8 †", r"93.4 $\pm$ 0.8 $\dagger$"),
        ("Größe 中", "Größe [U+4E2D]"),
        ("[f](g)", "{[}f](g)"),
    ],
)
def test_latex_is_escaped(text, expected):
    assert escape_latex(text) == expected


def test_markdown_rows_have_the_same_number_of_cells(folder, tmp_path):
    folder.plan_quick(learners=NASTY).write_suite().finish()
    write_report(folder.path, tmp_path / "out")
    for path in (tmp_path / "out").glob("table-*.md"):
        rows = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
        assert len(rows) == 3 + len(NASTY)
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_tables_compile_in_a_minimal_article(folder, tmp_path):
    folder.plan_quick(learners=NASTY)
    folder.write_suite().finish(folder.cells[1:], at_chance=True)
    folder.fail(folder.cells[0], "a reason with % and _ and \\end{document}")
    report = write_report(folder.path, tmp_path / "out")
    output = compile_article(tmp_path / "out", [path.stem for path in report.table_files if path.suffix == ".tex"])
    assert b"undefined" not in output


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_tables_fit_the_text_of_an_article(quick, tmp_path):
    report = write_report(quick.path, tmp_path / "out")
    names = [path.stem for path in report.table_files if path.suffix == ".tex"]
    assert {name.partition("-")[0] for name in names} == {"table", "gains", "compute", "published"}
    output = compile_article(tmp_path / "out", names).replace(b"\n", b"")
    wide = [float(points) for points in re.findall(rb"Overfull .hbox \(([\d.]+)pt too wide", output)]
    assert max(wide, default=0.0) < 5


def compile_article(folder, names):
    """Compiles an article with these tables and a reference to each, twice, and returns what LaTeX said last."""
    inputs = "\n".join(
        rf"\input{{{name}}} Table~\ref{{tab:{name.removeprefix('table-')}}}.\clearpage" for name in names
    )
    article = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{inputs}\end{{document}}"
    (folder / "article.tex").write_text(article, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "article.tex"]
    for _ in range(2):
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout.decode("utf-8", errors="replace")[-2000:]
    return done.stdout
