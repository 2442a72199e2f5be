"""Tables as Markdown and LaTeX; text from outside is escaped."""

import re
from dataclasses import replace
from itertools import accumulate

from adaptbench.reports.tables.table import Table, TableCell

_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", '"': "''", "`": r"\`{}",
    "±": r"$\pm$", "≈": r"$\approx$", "†": r"$\dagger$", "…": r"\ldots{}", "—": "---", "\u2013": "--",
}  # fmt: skip

TINY = 0.8
"""The width of a letter of the smallest size, as a share of one of the text above it."""
LONGEST_TEXT = 24
"""The longest text of a cell in LaTeX; longer ones stand below the table."""


def escape_markdown(text: str) -> str:
    """Escapes text for a cell of a Markdown table."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)


def escape_latex(text: str) -> str:
    """Escapes text for LaTeX; characters that pdfLaTeX lacks become code points, such as [U+4E2D]."""
    return "".join(_LATEX_ESCAPES.get(character) or _latex_letter(character) for character in " ".join(text.split()))


def to_markdown(table: Table) -> str:
    """The table in Markdown, with caption, notes and warnings around it."""
    upper = [label if first else "" for label, span in table.groups for first in [True] + [False] * (span - 1)]
    sides = ["---" if index in table.text_columns else "---:" for index in range(len(table.columns))]
    lower = [f"*{escape_markdown(label)}*" for label in table.columns]
    header = (
        [["", *map(escape_markdown, upper)], ["---", *sides], [escape_markdown(table.corner), *lower]]
        if upper
        else [[escape_markdown(table.corner), *map(escape_markdown, table.columns)], ["---", *sides]]
    )
    rows = [*header, *([escape_markdown(label), *map(_markdown_cell, cells)] for label, cells in table.rows)]
    grid = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    notes = [f"- <sup>{mark}</sup> {escape_markdown(text)}" for mark, text in table.notes]
    warnings = [f"- **Warning:** {escape_markdown(text)}" for text in table.warnings]
    below = "\n".join([*notes, *warnings])
    return "\n\n".join(part for part in (escape_markdown(table.caption), grid, below) if part) + "\n"


def to_latex(table: Table) -> str:
    r"""The table for `\input` into a paper that loads booktabs; its `\label` is `tab:` and the table's name."""
    table = _number_long_texts(table)
    rows = [" & ".join([escape_latex(name), *map(_latex_cell, cells)]) for name, cells in table.rows]
    sides = "".join("l" if index in table.text_columns else "c" for index in range(len(table.columns)))
    lines = [
        r"\begin{table}[tb]",
        r"\centering",
        rf"\caption{{{escape_latex(table.caption)}}}",
        rf"\label{{tab:{table.name.removeprefix('table-')}}}",
        r"\par\smallskip",
        *_latex_size(table),
        rf"\begin{{tabular}}{{l{sides}}}",
        r"\toprule",
        *_latex_groups(table),
        rf"{escape_latex(table.corner)} & {' & '.join(map(_latex_header, table.columns))} \\",
        r"\midrule",
        *(rf"{row} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *_latex_notes(table),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _markdown_cell(cell: TableCell) -> str:
    text = escape_markdown(cell.text)
    text = f"**{text}**" if cell.bold else f"*{text}*" if cell.missing else text
    text = f"{text}<sup>{','.join(cell.marks)}</sup>" if cell.marks else text
    return f"{text} {cell.ends}" if cell.ends else text


def _latex_cell(cell: TableCell) -> str:
    text = escape_latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.bold else rf"\textit{{{text}}}" if cell.missing else text
    text += _latex_marks(cell.marks)
    return rf"\shortstack{{{text}\\{{\tiny {escape_latex(cell.ends)}}}}}" if cell.ends else text


def _number_long_texts(table: Table) -> Table:
    """Replaces long texts by numbers that the notes explain."""
    long = [
        column
        for column in table.text_columns
        if any(len(cells[column].text) > LONGEST_TEXT for _, cells in table.rows)
    ]
    texts = list(dict.fromkeys(cells[column].text for column in long for _, cells in table.rows))
    numbers = {text: f"[{index}]" for index, text in enumerate(texts, start=1)}
    rows = tuple(
        (
            label,
            tuple(
                replace(cell, text=numbers[cell.text]) if index in long else cell for index, cell in enumerate(cells)
            ),
        )
        for label, cells in table.rows
    )
    return replace(table, rows=rows, notes=(*table.notes, *((mark, text) for text, mark in numbers.items())))


def _latex_groups(table: Table) -> list[str]:
    """The upper header with a rule under each label."""
    spans = [span for _, span in table.groups]
    ends = [1 + end for end in accumulate(spans)]
    groups = [rf"\multicolumn{{{span}}}{{c}}{{{escape_latex(text)}}}" for text, span in table.groups]
    rules = [rf"\cmidrule(lr){{{end - span + 1}-{end}}}" for end, span in zip(ends, spans, strict=True)]
    return [rf" & {' & '.join(groups)} \\", "".join(rules)] if groups else []


def _latex_size(table: Table) -> list[str]:
    """Smaller letters and gaps for a table that would be wider than the text of an article, 345 pt."""
    widths = [max([len(table.corner), *(len(label) for label, _ in table.rows)])] + [
        max([len(part) for part in _lines(label)] + [_letters(cells[index]) for _, cells in table.rows])
        for index, label in enumerate(table.columns)
    ]
    sizes = ((r"\small", 4.7, 6), (r"\footnotesize", 4.2, 4), (r"\scriptsize", 3.7, 2))
    fitting = (each for each in sizes if sum(widths) * each[1] + 2 * each[2] * len(widths) <= 345)
    size, _, gap = next(fitting, sizes[-1])
    return [size, rf"\setlength{{\tabcolsep}}{{{gap}pt}}"]


def _letters(cell: TableCell) -> int:
    """The width of a cell, in letters; the ends of an interval stand below the number in small letters."""
    return max(len(cell.text), int(TINY * len(cell.ends)))


def _latex_header(text: str) -> str:
    """A header, on two lines if it is long."""
    lines = [escape_latex(line) for line in _lines(text)]
    return lines[0] if len(lines) == 1 else rf"\shortstack{{{lines[0]}\\{lines[1]}}}"


def _lines(text: str) -> list[str]:
    """The text, broken at the space nearest to its middle if it is long."""
    spaces = [index for index, letter in enumerate(text) if letter == " "]
    if len(text) <= 11 or not spaces:
        return [text]
    middle = min(spaces, key=lambda index: abs(2 * index - len(text)))
    return [text[:middle], text[middle + 1 :]]


def _latex_marks(marks: tuple[str, ...]) -> str:
    return rf"\textsuperscript{{{escape_latex(','.join(marks))}}}" if marks else ""


def _latex_notes(table: Table) -> list[str]:
    notes = [f"{_latex_marks((mark,))}{escape_latex(text.rstrip('.'))}." for mark, text in table.notes]
    paragraphs = [" ".join(notes), *map(escape_latex, table.warnings)]
    text = r"\par ".join(paragraph for paragraph in paragraphs if paragraph)
    return [r"\par\smallskip", rf"\parbox{{\linewidth}}{{\footnotesize\raggedright {text}}}"] if text else []


def _latex_letter(character: str) -> str:
    """Keeps Western European letters, which every pdfLaTeX font has, and writes others as code points."""
    known = " " <= character <= "~" or ("\u00c0" <= character <= "\u00ff" and character not in "\u00d7÷ÐðÞþ")
    return character if known else f"[U+{ord(character):04X}]"
