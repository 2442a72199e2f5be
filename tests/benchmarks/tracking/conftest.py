"""Reads what W&B has written offline."""

import json
import os
import signal
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

BLOCK, FILE_HEADER, HEADER = 32768, 7, 7
FULL, LAST = 1, 4


def read_offline(folder, run_id):
    """Reads an offline run's file: W&B's messages in the record format of LevelDB's log."""
    from wandb.proto import wandb_internal_pb2

    (path,) = folder.glob(f"wandb/offline-run-*/run-{run_id}.wandb")
    content, position, message = path.read_bytes(), FILE_HEADER, b""
    assert content.startswith(b":W&B") or not content
    while position + HEADER <= len(content):
        if BLOCK - position % BLOCK < HEADER:  # too small for another record: filled with zeros
            position += BLOCK - position % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, position)
        position += HEADER + length
        message += content[position - length : position]
        if kind in (FULL, LAST):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            yield record
            message = b""


@pytest.fixture
def offline_records(store):
    """Waits for the record of a run's end, which W&B's own process may write late, and returns all."""

    def read(run_id, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            found = (
                list(read_offline(store.root, run_id)) if list(store.root.glob(f"wandb/*/run-{run_id}.wandb")) else []
            )
            if "exit" in {record.WhichOneof("record_type") for record in found}:
                return found
            assert time.monotonic() < deadline, "the run's file never ended"
            time.sleep(0.05)

    return read


def named(items):
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


@pytest.fixture
def sent(offline_records):
    """What W&B got of a run: `start`, `config`, `history` (rows), `summary`, `exit_code`."""

    def read(run_id):
        found = offline_records(run_id)
        kinds = {
            kind: [r for r in found if r.WhichOneof("record_type") == kind]
            for kind in ("run", "history", "summary", "exit")
        }
        (start,), (end,) = kinds["run"], kinds["exit"]
        summary = {}
        for record in kinds["summary"]:
            summary |= named(record.summary.update)
        return SimpleNamespace(
            start=start.run,
            config=named(start.run.config.update),
            history=[named(record.history.item) for record in kinds["history"]],
            summary=summary,
            exit_code=end.exit.exit_code,
        )

    return read


def without_empty(values):
    """Leaves out empty mappings, as W&B does on its way to the server."""
    kept = {name: value for name, value in values.items() if value != {}}
    return {name: without_empty(value) if isinstance(value, dict) else value for name, value in kept.items()}


@pytest.fixture
def assert_is_written(store):
    """Asserts that what W&B got is what a run's files hold: configuration, the curve once, scores, summary."""

    def check(run_id, got):
        folder = store.published(run_id)
        spec = json.loads((folder / "spec.json").read_text())
        assert without_empty(spec).items() <= without_empty(got.config).items()
        curve = {}
        for row in pd.read_parquet(folder / "curve.parquet").to_dict("records"):
            curve.setdefault(row["step"], {})[f"{row['part']}/{row['metric']}"] = row["value"]
        rows = [row for row in got.history if "scores/shots" not in row]
        plain = [
            {name: value for name, value in row.items() if "/" in name and name != "trainer/global_step"}
            for row in rows
        ]
        assert [row["trainer/global_step"] for row in rows] == list(curve)
        assert plain == list(curve.values())
        scores = [score for score in store.result(run_id).scores if score.part == "test"]
        over_shots = {}
        for score in scores:
            over_shots.setdefault(score.shots, {"scores/shots": score.shots})[f"scores/{score.metric}"] = score.value
        rows = [row for row in got.history if "scores/shots" in row]
        assert [{name: value for name, value in row.items() if "/" in name} for row in rows] == list(
            over_shots.values()
        )
        wanted = {f"test/{score.metric}/{score.shots}-shot": score.value for score in scores}
        assert wanted.items() <= got.summary.items()
        assert got.summary["examples_encoded"] == store.result(run_id).examples_encoded
        assert got.exit_code == 0

    return check


@pytest.fixture
def assert_sent_is_written(sent, assert_is_written):
    """Asserts the same of a run that W&B wrote offline."""
    return lambda run_id, wandb_id: assert_is_written(run_id, sent(wandb_id))


@pytest.fixture
def services():
    """Lists the processes of W&B that this process started, except dead ones."""
    if sys.platform != "linux":
        pytest.skip("finds processes as Linux lists them")

    def alive():
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended since
                found.append(path.read_text().rpartition(") "))
        return [
            int(name.split()[0])
            for name, _, rest in found
            if "wandb-core" in name and rest.split()[0] != "Z" and int(rest.split()[1]) == os.getpid()
        ]

    yield alive
    for process in alive():
        os.kill(process, signal.SIGCONT)  # else a test that fails would wait for it for ever
