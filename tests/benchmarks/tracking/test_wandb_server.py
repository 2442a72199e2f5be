"""W&B's server on loopback in all its moods: none costs a result, or a run more than its patience."""

import http.server
import json
import os
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from adaptbench.benchmarks.executors.worker import Job, work
from adaptbench.benchmarks.tracking import wandb_logger
from adaptbench.benchmarks.tracking.wandb_logger import INIT_SECONDS, PATIENCE_SECONDS, WandbMirror
from adaptbench.benchmarks.tracking.wandb_runs import Target, is_mirrored

LATE_SECONDS = 2.5
ANSWERS = {"refuses": (401, b'{"error": "no"}'), "fails": (500, b"{}"), "talks nonsense": (200, b"\x00<html>")}
PROJECT = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}


def sound(asked):
    """What the queries of a run get from a sound server; others get nothing."""
    name = re.search(r'"name":"([^"]+)"', asked)
    bucket = {"id": "r", "name": name and name[1], "project": PROJECT}
    answers = {
        "RunResumeStatus": {"model": {**PROJECT, "bucket": None}},
        "UpsertBucket": {"upsertBucket": {"bucket": bucket, "inserted": True}},
        "CreateRunFiles": {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []}},
    }
    return next((data for query, data in answers.items() if f" {query} " in asked), {})


@pytest.fixture
def server(monkeypatch):
    """Starts a server in a mood, to which W&B is logged in; returns it with the paths and contents that it was sent."""
    import wandb

    wandb.teardown(exit_code=0)  # an earlier test's session in this process keeps the address that it read
    started = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            asked = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
            self.server.asked.append((self.path, asked))
            if self.server.mood == "hangs" or (self.server.mood == "is slow" and "file_stream" in self.path):
                self.server.over.wait(60)
            if self.server.mood == "is late":
                time.sleep(LATE_SECONDS)
            if self.server.mood in ("is sound", "is slow", "is late"):
                self.send_response(200)
                self.end_headers()
                with suppress(BrokenPipeError):  # it no longer waits for an answer
                    self.wfile.write(json.dumps({"data": sound(asked)}).encode())
            if self.server.mood in ANSWERS:
                code, content = ANSWERS[self.server.mood]
                self.send_response(code)
                self.end_headers()
                self.wfile.write(content)
            self.close_connection = True

        do_GET = do_PUT = do_POST

    def start(mood):
        one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        one.mood, one.asked, one.over, one.daemon_threads = mood, [], threading.Event(), True
        threading.Thread(target=one.serve_forever, daemon=True).start()
        monkeypatch.delenv("WANDB_MODE", raising=False)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{one.server_address[1]}")
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        started.append(one)
        return one

    yield start
    for one in started:
        one.over.set()
        one.shutdown()
        one.server_close()
    wandb.teardown(exit_code=0)


@pytest.fixture
def waited(monkeypatch):
    """The seconds that each run waited for W&B at its end."""
    close, seconds = WandbMirror.close, []

    def timed(self, *arguments, **settings):
        start = time.monotonic()
        trouble = close(self, *arguments, **settings)
        seconds.append(time.monotonic() - start)
        return trouble

    monkeypatch.setattr(WandbMirror, "close", timed)
    return seconds


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mood", [*ANSWERS, "hangs", "dies"])
def test_no_mood_of_the_server_costs_a_result_or_more_than_patience(mood, server, episodic, store, waited):
    found, spec = server(mood), episodic()
    ended = work(Job(spec=spec, root=store.root, name="deep sets", target=Target("tiny", "online")))
    assert (ended.how, ended.reason) == ("done", "") and ended.unmirrored
    assert store.damage(spec.run_id) is None
    assert not list(store.root.glob("wandb/mirrored/*/*"))
    assert waited[0] < PATIENCE_SECONDS + 2 < INIT_SECONDS
    deadline = time.monotonic() + 60
    while not found.asked:
        assert time.monotonic() < deadline, "the server was never asked"
        time.sleep(0.1)


def received(server, wandb_id):
    """What a server got of a run, as `sent` has it."""
    got = SimpleNamespace(config={}, history=[], summary={}, exit_code=None)
    for path, asked in server.asked:
        if " UpsertBucket " in asked and (values := json.loads(asked)["variables"])["name"] == wandb_id:
            got.config |= {name: each["value"] for name, each in json.loads(values["config"]).items()}
        if path.endswith(f"/{wandb_id}/file_stream"):
            content = json.loads(asked)
            lines = {name: map(json.loads, file["content"]) for name, file in content.get("files", {}).items()}
            got.history += lines.get("wandb-history.jsonl", ())
            for line in lines.get("wandb-summary.json", ()):
                got.summary |= line
            got.exit_code = content.get("exitcode", got.exit_code)
    return got


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_server_that_answers_late_delays_no_run_and_gets_what_their_files_hold(
    server, episodic, store, waited, assert_is_written
):
    late, target, specs = server("is late"), Target("tiny", "online"), [episodic(seed=seed) for seed in range(2)]
    for spec in specs:
        assert work(Job(spec=spec, root=store.root, name="deep sets", target=target)).how == "done"
    assert max(waited) < PATIENCE_SECONDS + 2
    for spec in specs:
        wait_for(lambda run_id=spec.run_id: is_mirrored(store, run_id, target), 120)
        assert_is_written(spec.run_id, received(late, spec.run_id))


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", ["offline", "online"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
def test_a_service_lost_in_the_middle_of_a_run_costs_at_most_that_run(
    number, mode, server, episodic, store, services, waited, assert_is_written, monkeypatch
):
    online, target, lost, log_curve = server("is sound"), Target("tiny", mode), [], WandbMirror.log_curve
    monkeypatch.setattr(wandb_logger, "FINISH_SECONDS", 3.0)
    monkeypatch.setattr(wandb_logger, "ANSWER_SECONDS", 0.5)

    def lose(self, rows):
        log_curve(self, rows)
        if not lost:
            wait_for(lambda: self._began)
            lost.extend(services())
            os.kill(lost[0], number)

    monkeypatch.setattr(WandbMirror, "log_curve", lose)
    runs = [episodic(seed=seed).run_id for seed in range(3)]
    for seed in range(3):
        ended = work(Job(spec=episodic(seed=seed), root=store.root, name="deep sets", target=target))
        assert (ended.how, ended.reason) == ("done", "")
    for run_id in runs[1:]:
        wait_for(lambda run_id=run_id: is_mirrored(store, run_id, target))
        if mode == "online":
            assert_is_written(run_id, received(online, run_id))
    assert len(lost) == 1 and lost[0] not in services()
    assert not is_mirrored(store, runs[0], target)
    assert max(waited) < PATIENCE_SECONDS + 2


@pytest.fixture
def begin(store, monkeypatch):
    """Begins a run in W&B, online; returns it, and a list that tells in the end that W&B has everything."""
    monkeypatch.setattr(wandb_logger, "FINISH_SECONDS", 1.0)
    monkeypatch.setattr(wandb_logger, "ANSWER_SECONDS", 0.5)

    def make(run_id):
        return WandbMirror(run_id, store.root, "online", {"project": "p", "group": "tiny"}), []

    return make


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_service_that_hangs_after_a_run_began_online_is_ended_and_costs_no_other(server, begin, services):
    server("is sound")
    lost, has = begin("lost")
    wait_for(lambda: lost._began)
    (service,) = services()
    os.kill(service, signal.SIGSTOP)
    wait_for(lambda: "T" in (Path(f"/proc/{service}/stat").read_text().rpartition(") ")[2].split()[0]))
    assert lost.close({}, seconds=0.5, then=lambda: has.append(1)) == "no answer within 0 s"
    others = [begin(f"next-{number}") for number in range(3)]  # while it still hangs
    wait_for(lambda: service not in services())
    for other, other_has in others:
        assert other.close({}, seconds=30, then=lambda had=other_has: had.append(1)) is None
        assert other_has
    assert not has and len(services()) == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_service_that_waits_for_a_slow_server_is_left_alone(server, begin, services):
    slow = server("is slow")
    run, has = begin("slow")
    wait_for(lambda: run._began)
    (service,) = services()
    assert run.close({}, seconds=0.5, then=lambda: has.append(1)) == "no answer within 0 s"
    time.sleep(2.5)  # longer than hung services have
    assert services() == [service] and not has
    slow.over.set()
    wait_for(lambda: has)
