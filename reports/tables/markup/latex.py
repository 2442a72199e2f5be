"""Tables as LaTeX that fit the text of an article in its normal size; text from outside is escaped."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from adaptbench.reports.tables.markup.fit import (
    GAP,
    LABEL,
    NARROW_LABEL,
    SMALL,
    TEXT_WIDTH,
    broken,
    broken_groups,
    is_known,
    label_width,
    letters_width,
    longest_word,
    panels_of,
    table_width,
    texts_below,
)
from adaptbench.reports.tables.table import Table, TableCell

_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", '"': "''", "`": r"\`{}",
    "±": r"$\pm$", "≈": r"$\approx$", "†": r"$\dagger$", "‡": r"$\ddagger$", "…": r"\ldots{}", "—": "---",
    "\u2013": "--",
}  # fmt: skip

TEXT_HEIGHT = 480.0
"""The height of the text of an article in points, less a margin."""
LINE, SMALL_LINE = 12.5, 9.5
"""Heights of a line in points, in the normal size and in that of notes."""


def escape_latex(text: str) -> str:
    """Escapes text for LaTeX; characters that pdfLaTeX lacks become code points, such as [U+4E2D]."""
    return "".join(_ESCAPES.get(character) or _letter(character) for character in " ".join(text.split()))


def to_latex(table: Table) -> str:
    r"""The table for `\input` into a paper that loads booktabs and longtable; its `\label` is `tab:` and its name.

    A table that is too wide for the text of an article gets its texts below it. If that is not enough, its labels are
    broken, then its columns are divided into panels, one below the other. A table that is too high for a page goes over
    several.
    """
    if table_width(table) > TEXT_WIDTH:
        table = texts_below(table)
    natural, columns = label_width(table), table_width(table) - label_width(table)
    label = min(natural, TEXT_WIDTH - columns)
    if label < min(natural, max(NARROW_LABEL, longest_word(table))):
        label = min(natural, max(LABEL, longest_word(table)))
    grids = [_grid(panel, label) for panel in panels_of(table, TEXT_WIDTH - label)]
    texts = [f"{_raised((mark,))}{escape_latex(text.rstrip('.'))}." for mark, text in table.notes]
    notes = r"\par ".join(filter(None, [" ".join(texts), *map(escape_latex, table.warnings)]))
    height = sum(grid.height for grid in grids) + LINE * letters_width(table.caption) / TEXT_WIDTH
    height += SMALL_LINE * letters_width(notes) * SMALL / TEXT_WIDTH
    head = [rf"\caption{{{escape_latex(table.caption)}}}", rf"\label{{tab:{table.name.removeprefix('table-')}}}"]
    body = (_long if height > TEXT_HEIGHT else _floating)(grids, head, notes)
    return "\n".join(["% needs the packages booktabs and longtable", *body]) + "\n"


@dataclass(frozen=True)
class _Grid:
    """A tabular: its columns, the lines of its head and of its rows, and its height in points."""

    columns: str
    head: list[str]
    rows: list[str]
    height: float


def _floating(grids: Sequence[_Grid], head: Sequence[str], notes: str) -> list[str]:
    """A table on one page."""
    lines = [r"\begin{table}[tb]", r"\centering", *head, rf"\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}"]
    for grid in grids:
        lines += [r"\par\smallskip", rf"\begin{{tabular}}{{{grid.columns}}}", r"\toprule", *grid.head, r"\midrule"]
        lines += [*grid.rows, r"\bottomrule", r"\end{tabular}"]
    if notes:
        lines += [r"\par\smallskip", rf"\parbox{{\linewidth}}{{\footnotesize\raggedright {notes}}}"]
    return [*lines, r"\end{table}"]


def _long(grids: Sequence[_Grid], head: Sequence[str], notes: str) -> list[str]:
    """A table over pages, which repeat its head; panels are one table each, of the same number."""
    lines = [r"\begingroup", rf"\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}", r"\setlength{\LTcapwidth}{\linewidth}"]
    for number, grid in enumerate(grids):
        rules = [r"\toprule", *grid.head, r"\midrule"]
        lines += [r"\addtocounter{table}{-1}"] if number else []
        lines += [rf"\begin{{longtable}}{{{grid.columns}}}"]
        lines += [] if number else [*head, r"\\", *rules, r"\endfirsthead"]
        lines += [*rules, r"\endhead", r"\bottomrule", r"\endfoot", *grid.rows, r"\end{longtable}"]
    lines += [rf"{{\footnotesize\raggedright\noindent {notes}\par}}"] if notes else []
    return [*lines, r"\endgroup"]


def _grid(table: Table, label: float) -> _Grid:
    """A panel, whose labels are broken to a width in points."""
    sides = "".join("l" if index in table.text_columns else "c" for index in range(len(table.columns)))
    head = [_stack([escape_latex(line) for line in broken(text)], "b") for text in table.columns]
    lines = [
        max(letters_width(name) // (0.9 * label) + 1, 1 + any(cell.ends for cell in cells))
        for name, cells in table.rows
    ]
    return _Grid(
        columns=f"@{{}}l{sides}@{{}}",
        head=[*_groups(table), rf"{' & '.join([escape_latex(table.corner), *head])} \\"],
        rows=[rf"{' & '.join([_label(name, label), *map(_cell, cells)])} \\" for name, cells in table.rows],
        height=LINE * (sum(lines) + 5),
    )


def _groups(table: Table) -> list[str]:
    """The upper header with a rule under each label."""
    ends = [1 + end for end in accumulate(span for _, span in table.groups)]
    groups = [
        rf"\multicolumn{{{span}}}{{c}}{{{_stack([escape_latex(line) for line in lines], 'b')}}}"
        for lines, (_, span) in zip(broken_groups(table), table.groups, strict=True)
    ]
    rules = [
        rf"\cmidrule(lr){{{end - span + 1}-{end}}}"
        for end, (label, span) in zip(ends, table.groups, strict=True)
        if label
    ]
    return [rf" & {' & '.join(groups)} \\", "".join(rules)] if groups else []


def _label(text: str, width: float) -> str:
    escaped = escape_latex(text)
    broken = letters_width(text) > width
    return rf"\parbox[t]{{{width:.1f}pt}}{{\raggedright {escaped}\strut}}" if broken else escaped


def _cell(cell: TableCell) -> str:
    text = escape_latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.bold else rf"\textit{{{text}}}" if cell.missing else text
    text += _raised(cell.marks)
    return _stack([text, rf"\footnotesize {escape_latex(cell.ends)}"], "t") if cell.ends else text


def _stack(lines: Sequence[str], place: str) -> str:
    """Lines one below the other, aligned at the top or the bottom one."""
    if len(lines) == 1:
        return lines[0]
    rows = r"\\".join(lines)
    return rf"\begin{{tabular}}[{place}]{{@{{}}c@{{}}}}{rows}\end{{tabular}}"


def _raised(marks: tuple[str, ...]) -> str:
    return rf"\textsuperscript{{{escape_latex(','.join(marks))}}}" if marks else ""


def _letter(character: str) -> str:
    """Keeps Western European letters, which every pdfLaTeX font has, and writes others as code points."""
    return character if is_known(character) else f"[U+{ord(character):04X}]"
