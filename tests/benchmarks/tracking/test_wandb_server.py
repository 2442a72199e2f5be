"""W&B's server on loopback in all its moods: none costs a result, or a run more than its patience."""

import http.server
import threading
import time

import pytest

from adaptbench.benchmarks.executors.worker import Job, work
from adaptbench.benchmarks.tracking.wandb_logger import INIT_SECONDS, PATIENCE_SECONDS, WandbMirror

ANSWERS = {"refuses": (401, b'{"error": "no"}'), "fails": (500, b"{}"), "talks nonsense": (200, b"\x00<html>")}


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
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.server.asked.append(self.path)
            if self.server.mood == "hangs":
                self.server.over.wait(60)
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
    ended = work(Job(spec=spec, root=store.root, suite="tiny", name="deep sets", wandb="online"))
    assert (ended.how, ended.reason) == ("done", "") and ended.unmirrored
    assert store.damage(spec.run_id) is None
    assert not list(store.root.glob("wandb/mirrored/*/*"))
    assert waited[0] < PATIENCE_SECONDS + 2 < INIT_SECONDS
    deadline = time.monotonic() + 60
    while not found.asked:
        assert time.monotonic() < deadline, "the server was never asked"
        time.sleep(0.1)
