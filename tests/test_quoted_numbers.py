"""Numbers that README.md and docs/questions.md quote are those of the tables that they name.

Each decimal number of the prose is followed by a comment that names its cell, such as

    96.4 ± 0.6<!-- README.md 1 "Deep sets" 6 -->
    96.4 [95.7, 96.9]<!-- docs/quick/table-omniglot.csv "learner=deep_sets train_classes=1028 shots=5" mean -->

A table of a Markdown file is named by its number in the file, the start of the row's label and the column, which counts
from 1 after the label. "min" and "max" stand for the least and the largest number of some columns, such as 1,2. A mean
of a CSV file is quoted with the ends of its interval, or alone. `<!-- no table: REASON -->` follows what no table
holds. A table after `<!-- copy of FILE -->` is that of a Markdown file of a report. A list item before
`<!-- sentence of docs/atlas/growth-omniglot.csv "learner=lstm shots=1" -->` is the sentence of that row.

`ADAPTBENCH_QUOTE=1 pytest tests/test_quoted_numbers.py` writes the numbers and tables of the files into both documents.
"""

import csv
import os
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "docs/questions.md", "docs/atlas.md")
NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?"
VALUE = rf"{NUMBER}(?: ± {NUMBER}| \[{NUMBER}, {NUMBER}\])?"
QUOTED = re.compile(rf"({VALUE})<!-- (\S+\.(?:md|csv) [^>]*?) -->")
COPY = re.compile(r"(<!-- copy of (\S+) -->\n\n)((?:\|.*\n)+)")
SENTENCE = re.compile(r"(?<=^- ).+(<!-- sentence of (\S+\.csv) \"([^\"]*)\" -->)$", re.MULTILINE)
WITHOUT = re.compile(rf"{VALUE}<!-- no table: [^>]+ -->")
IN_PER_CENT = (
    "mean", "per_doubling", "first_doubling", "last_doubling", "unseen", "seen", "held_out_drawings", "gap_seen",
    "gap_held_out_drawings",
)  # fmt: skip


@cache
def tables(path):
    """The tables of a Markdown file: rows of cells without markup, heads and rules left out."""
    found = re.findall(r"(?:^\|.*\n)+", text_of(path), re.MULTILINE)
    return [
        [
            [re.sub(r"[*`]|<sup>.*?</sup>|<!--.*?-->", "", cell).strip() for cell in line[2:-2].split(" | ")]
            for line in rows
        ]
        for rows in (table.splitlines()[2:] for table in found)
    ]


@cache
def text_of(path):
    return (ROOT / path).read_text(encoding="utf-8")


def cell_of(path, table, row, columns):
    """The text of a cell of a Markdown table."""
    rows, columns = tables(path)[int(table) - 1], [int(column) for column in columns.split(",")]
    if row in ("min", "max"):
        numbers = [cells[column] for cells in rows if cells[0] for column in columns if re.match(NUMBER, cells[column])]
        return {"min": min, "max": max}[row](
            numbers, key=lambda text: float(re.match(NUMBER, text)[0].replace(",", ""))
        )
    found = [cells for cells in rows if cells[0] == row] or [cells for cells in rows if cells[0].startswith(row)]
    assert len(found) == 1, f"{path} has {len(found)} rows that start with {row!r} in its table {table}"
    return found[0][columns[0]]


def values_of(path, filters, column):
    """A number of a CSV file and the ends of its interval, if it has one, in the unit that is shown."""
    row = row_of(path, filters)
    per_cent = "accuracy" in (row.get("metric"), row.get("scale"))
    before = f"{column}_" if f"{column}_lower" in row else ""
    ends = [name for name in (f"{before}lower", f"{before}upper") if name in row]
    return [float(row[name]) * (100 if per_cent and column in IN_PER_CENT else 1) for name in (column, *ends)]


def row_of(path, filters):
    """The only row of a CSV file that has these values."""
    wanted = dict(each.split("=") for each in filters.split())
    with (ROOT / path).open(encoding="utf-8") as file:
        found = [row for row in csv.DictReader(file) if all(row[name] == value for name, value in wanted.items())]
    assert len(found) == 1, f"{path} has {len(found)} rows with {filters}"
    return found[0]


def quoted(text, source):
    """What the text should be: the numbers of the source, with as many decimals as the text has."""
    path, *place = shlex.split(source)
    if path.endswith(".csv"):
        values = values_of(path, *place)
    else:
        values = [float(each.replace(",", "")) for each in re.findall(NUMBER, cell_of(path, *place))]
    numbers = iter(values)
    return re.sub(NUMBER, lambda match: shown(next(numbers), like=match[0]), text)


def shown(value, like):
    decimals = len(like.partition(".")[2])
    return f"{value:{'+' if like[0] == '+' else ''}{',' if ',' in like else ''}.{decimals}f}"


def grid_of(path):
    """The lines of the table of a Markdown file."""
    return "".join(f"{line}\n" for line in text_of(path).splitlines() if line.startswith("|"))


def rewritten(document):
    text = QUOTED.sub(lambda match: f"{quoted(match[1], match[2])}<!-- {match[2]} -->", text_of(document))
    text = SENTENCE.sub(lambda match: row_of(match[2], match[3])["sentence"] + match[1], text)
    return COPY.sub(lambda match: match[1] + grid_of(match[2]), text)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_numbers_are_those_of_the_tables_that_they_name(document):
    found = rewritten(document)
    if os.environ.get("ADAPTBENCH_QUOTE"):
        (ROOT / document).write_text(found, encoding="utf-8")
    else:
        wrong = [
            (was, now)
            for was, now in zip(text_of(document).splitlines(), found.splitlines(), strict=False)
            if was != now
        ]
        assert not wrong


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_decimal_number_of_the_prose_names_its_table(document):
    code = r"```.*?```|`[^`\n]*`|\]\([^)]*\)|^\|[^\n]*$|Python 3\.\d+|\(noise \d\.\d\)"
    prose = re.sub(code, "", text_of(document), flags=re.MULTILINE | re.DOTALL)
    unnamed = re.findall(r".*\d\.\d.*", WITHOUT.sub("", QUOTED.sub("", SENTENCE.sub("", prose))))
    assert unnamed == []


@pytest.mark.parametrize(
    ("text", "cell", "expected"),
    [
        ("96.4 ± 0.6", "96.4 ± 0.6", "96.4 ± 0.6"),
        ("96.4", "96.4 ± 0.6", "96.4"),
        ("96.5", "96.4 ± 0.6", "96.4"),
        ("96.4 ± 0.5", "96.4 ± 0.6", "96.4 ± 0.6"),
        ("96.4 [95.0, 97.0]", "96.41 [95.7, 96.9]", "96.4 [95.7, 96.9]"),
        ("0.12", "0.116 [0.089, 0.175]", "0.12"),
        ("+3.5 ± 0.9", "+3.5 ± 0.9", "+3.5 ± 0.9"),
    ],
)
def test_a_wrong_number_is_corrected(text, cell, expected, monkeypatch):
    monkeypatch.setitem(globals(), "tables", lambda path: [[["Deep sets", "", cell]]])
    assert quoted(text, 'README.md 1 "Deep sets" 2') == expected
    assert quoted(text, "README.md 1 min 1,2") == expected


def test_a_number_of_a_csv_is_shown_in_per_cent(tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "a.csv").write_text(
        "learner,shots,metric,mean,lower,upper\nlstm,1,accuracy,0.851,0.81,0.889\nlstm,5,mse,3.5,1,9\n"
    )
    assert quoted("85.0 [0.0, 0.0]", 'a.csv "learner=lstm shots=1" mean') == "85.1 [81.0, 88.9]"
    assert quoted("0.00", 'a.csv "learner=lstm shots=5" mean') == "3.50"
    with pytest.raises(AssertionError, match="2 rows"):
        quoted("1", 'a.csv "learner=lstm" mean')
