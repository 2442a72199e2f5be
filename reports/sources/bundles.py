"""Bundles: the finished runs of a suite in one small file that pandas alone can read.

A bundle is a zip file. `bundle.json` says what the suite wants, `runs.jsonl` has a line of JSON for each run, and
`episodes.parquet`, `curve.parquet` and `fits.parquet` hold the tables of all runs, with the run in the column `run_id`.
`card.md` and `code/` are for readers: nothing in a bundle is ever executed by a report.
"""

import hashlib
import io
import json
import re
import stat
import zipfile
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no annotations
import pyarrow.parquet as pq  # type: ignore[import-untyped]

from adaptbench.reports.bundle_format import Bundle, BundledRun
from adaptbench.reports.errors import ReportError
from adaptbench.reports.format import Checksum, Manifest, Result
from adaptbench.reports.format_tables import TABLES
from adaptbench.reports.reading import Unreadable, read_bytes
from adaptbench.reports.results.manifest import Suite, read_suite, suite_names
from adaptbench.reports.sources.bundle_scores import by_run, check_calibration, check_scores

INDEX, RUNS, CARD, CODE = "bundle.json", "runs.jsonl", "card.md", "code/"
MOST_BYTES = 256 * 2**20
"""The most bytes that a bundle may unpack to."""
MOST_VALUES = 50_000_000
"""The most values of a table of a bundle: rows times columns."""
LONGEST = 64
"""The most characters of a text in a table of a bundle."""
MOST_DISTINCT = 4096
"""A column of more different numbers than this is kept in single precision."""
PLAIN = (0, stat.S_IFREG)
"""Kinds of entries that may be in the archive: plain files, with or without saying so."""
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FORMULA = re.compile(r"^[=+\-@]|[\x00-\x1f\x7f]")
_ARGUMENT = re.compile(r"--(learner|encoder|rates|seeds)|[\w./@][\w ,()+./@-]*")


def built_in() -> dict[str, Path]:
    """The bundles that ship with this package, by the name of their suite."""
    folder = Path(str(files("adaptbench.reports"))) / "data" / "bundles"
    return {path.stem: path for path in sorted(folder.glob("*.zip"))}


def bundle_file(name: str | Path) -> Path:
    """The file of a bundle, which may be named by its suite if it ships with this package."""
    return Path(name) if Path(name).is_file() else built_in().get(str(name), Path(name))


def gather(roots: Sequence[Path], suite: str | None = None) -> tuple[Suite, dict[str, Path]]:
    """Finds what folders hold of a suite: the cells that any of them wants, and the folder of every finished run.

    Of a run that several have, the first counts. Of several versions of the suite, the latest says which cells there
    are; it lists the runs of earlier ones that still are what it asks for, because a run's id is that of its settings.

    Args:
        roots: Folders that `adaptbench run` or `unpack` wrote; one without the suite may have some of its runs.
        suite: The suite; None for the only one.

    Raises:
        ReportError: A suite cannot be read, or folders have different ones.
    """
    having = [root for root in roots if suite in suite_names(root)] or roots
    suites = sorted((read_suite(root, suite) for root in having), key=lambda each: len(each.cells), reverse=True)
    names = sorted({each.name for each in suites})
    if len(names) > 1:
        raise ReportError(f"Expected one suite but got {', '.join(names)}.")
    latest = max(each.version for each in suites)
    suites = [each for each in suites if each.version == latest]
    cells = {cell.run_id: cell for each in suites for cell in each.cells}
    folders = {path.parent.name: path.parent for root in reversed(roots) for path in root.glob("[!.]*/result.json")}
    return suites[0].model_copy(update={"cells": tuple(cells.values())}), folders


def write_bundle(
    suite: Suite, folders: Mapping[str, Path], out: Path, *, code: Mapping[str, str] | None = None, card: str = ""
) -> Bundle:
    """Writes the finished runs of a suite, and the pretrainings that they adapt, into one file.

    The same runs give the same bytes.

    Args:
        suite: The suite.
        folders: The folders of finished runs by id.
        out: The file.
        code: Texts of source files by the name of their module, for readers.
        card: What a reader should know, as Markdown.

    Raises:
        ReportError: None of the suite's runs is finished, or one is damaged.
    """
    found = {cell.run_id: _bundled(folders[cell.run_id]) for cell in suite.cells if cell.run_id in folders}
    if not found:
        raise ReportError(f"Expected finished runs of suite {suite.name} but found none.")
    needed = {each for run in found.values() for each in _pretrainings(run.result) if each in folders}
    found |= {run_id: _bundled(folders[run_id]) for run_id in sorted(needed - set(found))}
    own = [folders[run_id] for run_id in found]
    contents = {RUNS: "".join(map(_line, own)).encode()}
    contents |= {name: table for name in TABLES if (table := _joined(own, name)) is not None}
    contents |= {CARD: card.encode()} if card else {}
    contents |= {f"{CODE}{name}.py": text.encode() for name, text in sorted((code or {}).items())}
    index = Bundle(
        suite=Manifest(**suite.model_dump()),
        made=max(run.environment.times.finished for run in found.values()),
        files={name: _checksum(content) for name, content in contents.items()},
    )
    packed = {INDEX: (json.dumps(index.model_dump(mode="json"), sort_keys=True) + "\n").encode(), **contents}
    _check_all(index, packed)
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w") as archive:
        for name in sorted(packed):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.compress_type = zipfile.ZIP_STORED if name.endswith(".parquet") else zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, packed[name], compresslevel=9)
    return index


def unpack(bundle: Path, folder: Path) -> Bundle:
    """Writes the runs of a bundle as a folder of runs; what it says is checked against its own scores.

    No name in a bundle becomes a path, except ids of runs, which have neither dots nor slashes.

    Args:
        bundle: The file.
        folder: An empty folder.

    Raises:
        ReportError: It is not a bundle, it is damaged, or its parts contradict each other.
    """
    contents = _contents(bundle)
    index = _index(contents, bundle)
    try:
        runs, tables = _check_all(index, contents)
    except ReportError as error:
        raise ReportError(f"{bundle}: {error}") from error
    (folder / "suites").mkdir(parents=True)
    manifest = json.dumps(index.suite.model_dump(mode="json"), sort_keys=True)
    (folder / "suites" / f"{index.suite.name}.json").write_text(manifest, encoding="utf-8")
    for run_id, parts in runs.items():
        (folder / run_id).mkdir()
        for name, content in parts.items():
            if content is not None:
                text = json.dumps(content, sort_keys=True, indent=1) + "\n"
                (folder / run_id / f"{name}.json").write_text(text, encoding="utf-8")
    for name, table in tables.items():
        for run_id, rows in by_run(table):
            frame = rows.to_pandas()
            kinds = {"ways": "Int64"} if "ways" in frame else {}
            frame.astype(kinds).to_parquet(folder / run_id / name, index=False)
    return index


def code_of(bundle: Path) -> dict[str, str]:
    """The source files in a bundle as text, by the name of their module.

    Raises:
        ReportError: It is not a bundle.
    """
    found = _contents(bundle)
    return {
        name.removeprefix(CODE).removesuffix(".py"): content.decode("utf-8", "replace")
        for name, content in found.items()
        if name.startswith(CODE)
    }


def _checksum(content: bytes) -> Checksum:
    return Checksum(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _pretrainings(result: Result) -> set[str]:
    return {each.run_id for each in result.pretrainings} | ({result.pretrained} if result.pretrained else set())


def _parts(folder: Path) -> dict[str, object]:
    """The JSON files of a run as they are."""
    found = {name: folder / f"{name}.json" for name in ("result", "environment", "spec", "guards")}
    return {name: json.loads(path.read_bytes()) for name, path in found.items() if path.is_file()}


def _line(folder: Path) -> str:
    return json.dumps(_parts(folder), sort_keys=True, separators=(",", ":")) + "\n"


def _bundled(folder: Path) -> BundledRun:
    try:
        return read_bytes(_line(folder).encode(), BundledRun, folder.name)
    except (OSError, ValueError) as error:
        raise ReportError(f"Run {folder.name} cannot be bundled: {error}") from error


def _joined(folders: Sequence[Path], name: str) -> bytes | None:
    """One table of all runs, compressed; None if no run has it."""
    found = [folder for folder in folders if (folder / name).is_file()]
    if not found:
        return None
    own = [(folder.name, pq.read_table(folder / name).replace_schema_metadata(None)) for folder in found]
    table = pa.concat_tables(
        [each.add_column(0, "run_id", pa.array([run_id] * len(each))) for run_id, each in own],
        promote_options="permissive",
    )
    singles = {column: "BYTE_STREAM_SPLIT" for column in table.column_names if _fits_single(table.column(column))}
    for column in singles:
        index = table.column_names.index(column)
        table = table.set_column(index, column, table.column(column).cast(pa.float32()))
    encodings = singles | ({"episode": "DELTA_BINARY_PACKED"} if "episode" in table.column_names else {})
    buffer = io.BytesIO()
    pq.write_table(
        table, buffer, compression="zstd", compression_level=15, column_encoding=encodings, store_schema=False,
        use_dictionary=[column for column in table.column_names if column not in encodings], write_statistics=False,
    )  # fmt: skip
    return buffer.getvalue()


def _fits_single(values: pa.ChunkedArray) -> bool:
    """Whether to keep numbers in single precision: many different ones, none too large. Few are small as they are."""
    if not pa.types.is_floating(values.type):
        return False
    numbers = values.to_numpy()
    finite = np.abs(numbers[np.isfinite(numbers)])
    return len(np.unique(finite)) > MOST_DISTINCT and finite.max() <= np.finfo(np.float32).max


def _contents(bundle: Path) -> dict[str, bytes]:
    """The files of a bundle by name; only files that a bundle has, each once and not too large."""
    try:
        with zipfile.ZipFile(bundle) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
            if strange := [name for name in names if not _is_known(name)]:
                raise ReportError(f"Expected {bundle} to hold the files of a bundle but got {strange[0]!r}.")
            if strange := [each.filename for each in entries if stat.S_IFMT(each.external_attr >> 16) not in PLAIN]:
                raise ReportError(f"Expected {bundle} to hold plain files but {strange[0]!r} is a link or a device.")
            if len(set(names)) < len(names):
                raise ReportError(f"Expected each file of {bundle} to be in it once.")
            if sum(entry.file_size for entry in entries) > MOST_BYTES:
                raise ReportError(f"Expected {bundle} to hold at most {MOST_BYTES >> 20} MB.")
            return {name: archive.read(name) for name in names}
    except ReportError:
        raise
    except Exception as error:  # A damaged archive can make zipfile raise almost anything.
        raise ReportError(f"{bundle} cannot be read as a bundle: {error}.") from error


def _is_known(name: str) -> bool:
    return (
        name in (INDEX, RUNS, CARD, *TABLES)
        or re.fullmatch(rf"{CODE}[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\.py", name, re.ASCII) is not None
    )


def _index(contents: Mapping[str, bytes], bundle: Path) -> Bundle:
    try:
        index = read_bytes(contents.get(INDEX, b""), Bundle, INDEX)
    except Unreadable as error:
        raise ReportError(f"{bundle} is not a bundle: {error}") from error
    found = {name: _checksum(content) for name, content in contents.items() if name != INDEX}
    for name in sorted(found.keys() | index.files.keys()):
        if found.get(name) != index.files.get(name):
            raise ReportError(f"Expected {name} of {bundle} to have the checksum that {INDEX} gives.")
    return index


def _check_all(
    index: Bundle, contents: Mapping[str, bytes]
) -> tuple[dict[str, dict[str, object]], dict[str, pa.Table]]:
    """Reads every run and table; the runs as JSON by id.

    Raises:
        ReportError: A part has another type, names another run, or contradicts another part.
    """
    _refuse_formulas(index.suite.model_dump(mode="json", exclude={"command"}), INDEX)
    if strange := [argument for argument in index.suite.command if not _ARGUMENT.fullmatch(argument)]:
        raise ReportError(f"Expected the command of {INDEX} to name a suite and learners but got {strange[0]!r}.")
    runs: dict[str, dict[str, object]] = {}
    results: dict[str, Result] = {}
    for number, line in enumerate(contents.get(RUNS, b"").splitlines(), start=1):
        where = f"line {number} of {RUNS}"
        run = read_bytes(line, BundledRun, where)
        run_id = run.result.run_id
        if run_id in runs or run_id.startswith("-"):
            raise ReportError(f"Expected {RUNS} to have run {run_id} once.")
        parts: dict[str, object] = json.loads(line)
        _refuse_formulas({name: parts[name] for name in ("result", "environment", "spec")}, where)
        results[run_id] = run.result
        runs[run_id] = {name: parts.get(name) for name in BundledRun.model_fields}
    tables = {name: _table(contents[name], name) for name in TABLES if name in contents}
    for name, table in tables.items():
        if others := sorted(map(str, set(table.column("run_id").unique().to_pylist()) - set(runs))):
            raise ReportError(f"Expected {name} to hold runs of {RUNS} but got {others[0]!r}.")
    check_scores(results, tables.get("episodes.parquet"))
    check_calibration(results, tables.get("calibration.parquet"))
    return runs, tables


def _refuse_formulas(value: object, where: str) -> None:
    """Refuses texts that a spreadsheet would compute, and control characters."""
    if isinstance(value, str):
        if _FORMULA.search(value.replace("\n", " ")):
            raise ReportError(f"Expected the texts of {where} to be plain but got {value[:80]!r}.")
    elif isinstance(value, Mapping):
        for name, each in value.items():
            _refuse_formulas(name, where)
            _refuse_formulas(each, where)
    elif isinstance(value, list):
        for each in value:
            _refuse_formulas(each, where)


def _table(content: bytes, name: str) -> pa.Table:
    try:
        with pq.ParquetFile(io.BytesIO(content)) as file:
            _check_shape(file, name)
            texts = [each.name for each in file.schema_arrow if _is_text(each.type)]
        with pq.ParquetFile(io.BytesIO(content), read_dictionary=texts) as file:
            table = file.read(use_threads=False)
        table.validate(full=True)
        for text in texts:
            table = table.set_column(table.column_names.index(text), text, _texts(table.column(text), name))
    except ReportError:
        raise
    except Exception as error:  # A damaged file can make a parquet reader raise almost anything.
        raise ReportError(f"{name} cannot be read: {error}.") from error
    return table


def _check_shape(file: pq.ParquetFile, name: str) -> None:
    """Refuses a table before it is read: by its columns, their types, and the memory that they would take."""
    known, schema, size = {column.name for column in TABLES[name]}, file.schema_arrow, file.metadata
    if strange := set(schema.names) - known - {"run_id"} or {"run_id"} - set(schema.names):
        raise ReportError(f"Expected {name} to have its own columns and `run_id` but `{min(strange)}` is not so.")
    if twice := [column for column in schema.names if schema.names.count(column) > 1]:
        raise ReportError(f"Expected {name} to have each column once but it has `{twice[0]}` more than once.")
    for each in schema:
        if not (_is_text(each.type) or (each.name != "run_id" and _is_number(each.type))):
            raise ReportError(f"Expected {name} to hold numbers and texts but `{each.name}` has others.")
    unpacked = sum(size.row_group(number).total_byte_size for number in range(size.num_row_groups))
    if size.num_rows * size.num_columns > MOST_VALUES or unpacked > MOST_BYTES:
        raise ReportError(f"Expected {name} to have at most {MOST_VALUES:,} values and {MOST_BYTES >> 20} MB.")


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _texts(column: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Writes the texts of a column out, if they are short texts."""
    for chunk in column.chunks:
        if any(len(str(text)) > LONGEST for text in chunk.dictionary.to_pylist()):
            raise ReportError(f"Expected the texts of {name} to have at most {LONGEST} characters.")
    return column.cast(pa.string())
