"""Tables as LaTeX that fit the text of an article in its normal size; text from outside is escaped."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby

from adaptbench.reports.tables.markup.fit import (
    GAP,
    LABEL,
    MINUS,
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
    without_columns,
)
from adaptbench.reports.tables.table import Table, TableCell

_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"$\sim$", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "[": "{[}", '"': "''", "`": r"\`{}",
    "±": r"$\pm$", "≈": r"$\approx$", "†": r"$\dagger$", "‡": r"$\ddagger$", "…": r"\ldots{}", "—": "---",
    "\u2013": "--",
}  # fmt: skip
_POWER = re.compile(r"(?<![\w.])(\d(?:\.\d+)?)e(-?)\+?0*(\d+)\b")

TEXT_HEIGHT = 480.0
"""The height of the text of an article in points, less a margin."""
LINE, SMALL_LINE = 12.5, 9.5
"""Heights of a line in points, in the normal size and in that of notes."""
HANGING = 2 * SMALL_LINE
"""Points of notes for which a float takes of the margin, so that they do not stand in one of their own."""


def escape_latex(text: str) -> str:
    """Escapes text for LaTeX; characters that pdfLaTeX lacks become code points, such as [U+4E2D]."""
    escaped = "".join(_ESCAPES.get(character) or _letter(character) for character in " ".join(text.split()))
    return _POWER.sub(r"$\1\\times10^{\2\3}$", MINUS.sub("$-$", escaped))


def to_latex(table: Table) -> str:
    r"""The table for `\input` into a paper that loads booktabs; its `\label` is `tab:` and its name.

    A table that is too wide for the text of an article gets its texts below it. If that is not enough, its labels are
    broken, then its columns are divided into panels, one below the other. A table that is higher than a page is divided
    into floats of one number. In an article of two columns, tables that are wider than a column span both.
    """
    table = _of_citations(table) if table.rows and all(map(_cites, table.rows)) else table
    if table_width(table) > TEXT_WIDTH:
        table = texts_below(table)
    natural, columns = label_width(table), table_width(table) - label_width(table)
    label = min(natural, TEXT_WIDTH - columns)
    if label < min(natural, max(NARROW_LABEL, longest_word(table))):
        label = min(natural, max(LABEL, longest_word(table)))
    panels = list(panels_of(table, TEXT_WIDTH - label))
    width = label + max(table_width(panel) - label_width(panel) for panel in panels)
    room = TEXT_HEIGHT - LINE * (letters_width(table.caption) / TEXT_WIDTH + 2)
    blocks = [*(block for panel in panels for block in _grids(panel, label, room)), *_notes(table)]
    cited = ", and published.bib for \\cite" if any(map(_cites, table.rows)) else ""
    # The star of `table*` stands where a column of the article is narrower than the table.
    name = rf"table\ifdim\columnwidth<{min(width, TEXT_WIDTH):.0f}pt*\fi"
    lines = [rf"% needs \usepackage{{booktabs}}{cited}"]
    for number, own in enumerate(_floats(blocks, room)):
        head = [r"\addtocounter{table}{-1}", r"\caption{Continued.}"] if number else [
            rf"\caption{{{escape_latex(table.caption)}}}", rf"\label{{tab:{table.name.removeprefix('table-')}}}"
        ]  # fmt: skip
        lines += [rf"\begin{{{name}}}[tbp]", r"\centering", *head, rf"\setlength{{\tabcolsep}}{{{GAP / 2:g}pt}}"]
        lines += [*own, rf"\end{{{name}}}"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Block:
    """What is never divided: a tabular, or a note. Its lines, and its height in points."""

    lines: tuple[str, ...]
    height: float
    note: bool = False


def _floats(blocks: Sequence[_Block], first: float) -> Iterator[list[str]]:
    """The lines of each float: as many blocks as fit, of which the first float has less room."""
    own: list[_Block] = []
    left = first
    for block in blocks:
        if own and block.height > left + HANGING * block.note:
            yield _lines(own)
            own, left = [], TEXT_HEIGHT - 2 * LINE
        own.append(block)
        left -= block.height
    yield _lines(own)


def _lines(blocks: Sequence[_Block]) -> list[str]:
    """Tabulars, one below the other, and the notes in one paragraph."""
    lines = []
    for note, own in groupby(blocks, lambda block: block.note):
        for block in () if note else own:
            lines += [r"\par\smallskip", *block.lines]
        if note:
            text = " ".join(line for block in own for line in block.lines)
            lines += [r"\par\smallskip", rf"\parbox{{\linewidth}}{{\footnotesize\raggedright {text}}}"]
    return lines


def _grids(table: Table, label: float, room: float) -> Iterator[_Block]:
    """The tabulars of a panel, whose labels are broken to a width in points; several if one is too high."""
    sides = "".join("l" if index in table.text_columns else "c" for index in range(len(table.columns)))
    head = [_stack([escape_latex(line) for line in broken(text)], "b") for text in table.columns]
    heads = [*_groups(table), rf"{' & '.join([escape_latex(table.corner), *head])} \\"]
    start = (rf"\begin{{tabular}}{{@{{}}l{sides}@{{}}}}", r"\toprule", *heads, r"\midrule")
    rows: list[str] = []
    height = 5 * LINE
    shown = ""
    sections = table.sections or [""] * len(table.rows)
    for (name, cells), section in zip(table.rows, sections, strict=True):
        own = LINE * max(letters_width(name) // (0.9 * label) + 1, 1 + any(cell.ends for cell in cells))
        if rows and height + own > room:
            yield _Block((*start, *rows, r"\bottomrule", r"\end{tabular}"), height)
            rows, height, shown = [], 5 * LINE, ""
        if section != shown:
            rows.append(rf"\multicolumn{{{1 + len(sides)}}}{{@{{}}l}}{{\textit{{{escape_latex(section)}}}}} \\")
            height, shown = height + LINE, section
        rows.append(rf"{' & '.join([_label(name, label), *map(_cell, cells)])} \\")
        height += own
    yield _Block((*start, *rows, r"\bottomrule", r"\end{tabular}"), height)


def _notes(table: Table) -> list[_Block]:
    texts = [f"{_raised((mark,))}{escape_latex(text.rstrip('.'))}." for mark, text in table.notes]
    height = SMALL_LINE * SMALL / TEXT_WIDTH
    texts += map(escape_latex, table.warnings)
    return [_Block((text,), height * letters_width(text), note=True) for text in texts]


def _of_citations(table: Table) -> Table:
    """A table whose citations need no words, and whose settings are headings, so that it is narrow enough."""
    setting = table.columns.index("setting")
    order = list(dict.fromkeys(cells[setting].text for _, cells in table.rows))
    rows = sorted(table.rows, key=lambda row: order.index(row[1][setting].text))
    sections = tuple(cells[setting].text for _, cells in rows)
    table = replace(table, rows=tuple(rows), sections=sections)
    return without_columns(table, [setting, table.columns.index("published by")])


def _cites(row: tuple[str, tuple[TableCell, ...]]) -> bool:
    return any(cell.cite for cell in row[1])


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
    text += rf"~\cite{{{cell.cite}}}" if cell.cite else ""
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
