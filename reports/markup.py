"""Comparison tables as Markdown and LaTeX, with everything that came from outside escaped."""

import re
from itertools import accumulate

from reports.layout import TableCell, TableLayout

_LATEX_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': "''", "`": r"\`{}",
    "±": r"$\pm$", "†": r"$\dagger$", "…": r"\ldots{}", "—": "---", "\u2013": "--",
}  # fmt: skip


def escape_markdown(text: str) -> str:
    """Escapes text for a cell of a Markdown table."""
    line = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|~$])", r"\\\1", line)


def escape_latex(text: str) -> str:
    """Escapes text for LaTeX; what pdfLaTeX has no letter for is written as its code point, such as [U+4E2D]."""
    return "".join(_LATEX_ESCAPES.get(character) or _latex_letter(character) for character in " ".join(text.split()))


def to_markdown(layout: TableLayout) -> str:
    """The table in Markdown, with caption, notes and warnings around it."""
    upper = [label if first else "" for label, span in layout.groups for first in [True] + [False] * (span - 1)]
    rows = [
        ["", *map(escape_markdown, upper)],
        ["---", *["---:"] * len(upper)],
        ["", *(f"*{escape_markdown(label)}*" for label in layout.columns)],
        *([escape_markdown(label), *map(_markdown_cell, cells)] for label, cells in layout.rows),
    ]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    notes = [f"- <sup>{mark}</sup> {escape_markdown(text)}" for mark, text in layout.notes]
    warnings = [f"- **Warning:** {escape_markdown(text)}" for text in layout.warnings]
    below = "\n".join([*notes, *warnings])
    return "\n\n".join(part for part in (escape_markdown(layout.caption), table, below) if part) + "\n"


def to_latex(layout: TableLayout, label: str) -> str:
    r"""The table for `\input` into a paper that loads booktabs.

    Args:
        layout: The table.
        label: What `\ref` finds it by.
    """
    spans = [span for _, span in layout.groups]
    ends = [1 + end for end in accumulate(spans)]
    groups = [rf"\multicolumn{{{span}}}{{c}}{{{escape_latex(text)}}}" for text, span in layout.groups]
    rules = [rf"\cmidrule(lr){{{end - span + 1}-{end}}}" for end, span in zip(ends, spans, strict=True)]
    rows = [" & ".join([escape_latex(name), *map(_latex_cell, cells)]) for name, cells in layout.rows]
    lines = [
        r"\begin{table}[tb]",
        r"\centering",
        rf"\caption{{{escape_latex(layout.caption)}}}",
        rf"\label{{{label}}}",
        r"\par\smallskip",
        *_latex_size(len(layout.columns)),
        rf"\begin{{tabular}}{{l{'c' * len(layout.columns)}}}",
        r"\toprule",
        rf" & {' & '.join(groups)} \\",
        "".join(rules),
        rf" & {' & '.join(map(escape_latex, layout.columns))} \\",
        r"\midrule",
        *(rf"{row} \\" for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
        *_latex_notes(layout),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _markdown_cell(cell: TableCell) -> str:
    text = escape_markdown(cell.text)
    text = f"**{text}**" if cell.bold else f"*{text}*" if cell.missing else text
    return f"{text}<sup>{','.join(cell.marks)}</sup>" if cell.marks else text


def _latex_cell(cell: TableCell) -> str:
    text = escape_latex(cell.text)
    text = rf"\textbf{{{text}}}" if cell.bold else rf"\textit{{{text}}}" if cell.missing else text
    return text + _latex_marks(cell.marks)


def _latex_size(n_columns: int) -> list[str]:
    """Smaller letters and gaps for a table that would stick out of the text of an article."""
    return [r"\footnotesize", r"\setlength{\tabcolsep}{3pt}"] if n_columns > 4 else [r"\small"]


def _latex_marks(marks: tuple[str, ...]) -> str:
    return rf"\textsuperscript{{{escape_latex(','.join(marks))}}}" if marks else ""


def _latex_notes(layout: TableLayout) -> list[str]:
    notes = [f"{_latex_marks((mark,))}{escape_latex(text.rstrip('.'))}." for mark, text in layout.notes]
    paragraphs = [" ".join(notes), *map(escape_latex, layout.warnings)]
    text = r"\par ".join(paragraph for paragraph in paragraphs if paragraph)
    return [r"\par\smallskip", rf"\parbox{{\linewidth}}{{\footnotesize\raggedright {text}}}"] if text else []


def _latex_letter(character: str) -> str:
    """Letters of Western Europe pass, because pdfLaTeX has them in every font; the rest is spelt out."""
    known = " " <= character <= "~" or ("\u00c0" <= character <= "\u00ff" and character not in "\u00d7÷ÐðÞþ")
    return character if known else f"[U+{ord(character):04X}]"
