"""W&B's server on loopback in all its moods: none costs a result, or a run more than its patience."""

import http.server
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from adaptbench.benchmarks.executors.worker import Job, work
from adaptbench.benchmarks.tracking import wandb_logger
from adaptbench.benchmarks.tracking.wandb_logger import INIT_SECONDS, PATIENCE_SECONDS, WandbMirror
from adaptbench.benchmarks.tracking.wandb_runs import Target

ANSWERS = {"refuses": (401, b'{"error": "no"}'), "fails": (500, b"{}"), "talks nonsense": (200, b"\x00<html>")}
PROJECT = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}
SOUND = {
    "RunResumeStatus": {"model": {**PROJECT, "bucket": None}},
    "UpsertBucket": {"upsertBucket": {"bucket": {"id": "r", "name": "r", "project": PROJECT}, "inserted": True}},
    "CreateRunFiles": {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": []}},
}
"""What the queries of a run get from a sound server; others get nothing."""


@pytest.fixture
def server(monkeypatch):
    """Starts a server in a mood, to which W&B is logged in; returns it with the paths that were asked for."""
    import wandb

    wandb.teardown(exit_code=0)  # an earlier test's session in this process keeps the address that it read
    started = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            asked = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode(errors="replace")
            self.server.asked.append(self.path)
            if self.server.mood == "hangs" or (self.server.mood == "is slow" and "file_stream" in self.path):
                self.server.over.wait(60)
            if self.server.mood in ("is sound", "is slow"):
                found = next((data for name, data in SOUND.items() if f" {name} " in asked), {})
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps({"data": found}).encode())
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mood", [*ANSWERS, "hangs", "dies"])
def test_no_mood_of_the_server_costs_a_result_or_more_than_patience(mood, server, episodic, store, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    found, waited = server(mood), []
    close = WandbMirror.close

    def timed(self, *arguments, **settings):
        start = time.monotonic()
        trouble = close(self, *arguments, **settings)
        waited.append(time.monotonic() - start)
        return trouble

    monkeypatch.setattr(WandbMirror, "close", timed)
    spec = episodic()
    ended = work(Job(spec=spec, root=store.root, name="deep sets", target=Target("tiny", "online")))
    assert (ended.how, ended.reason) == ("done", "") and ended.unmirrored
    assert store.damage(spec.run_id) is None
    assert not list(store.root.glob("wandb/mirrored/*/*"))
    assert waited[0] < PATIENCE_SECONDS + 2 < INIT_SECONDS
    deadline = time.monotonic() + 60
    while not found.asked:
        assert time.monotonic() < deadline, "the server was never asked"
        time.sleep(0.1)


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


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
