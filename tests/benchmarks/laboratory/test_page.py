"""The laboratories of a page as a student uses them: in a browser, without a network, with trained runs."""

import json
import shutil

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from adaptbench.benchmarks.cli import app
from adaptbench.benchmarks.laboratory.networks import Forward
from adaptbench.benchmarks.runs.trained import load_run

pytest.importorskip("onnxruntime", reason="the extra `laboratory` is not installed")
pytest.importorskip("onnx", reason="the extra `laboratory` is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SUITE = """
suite: teaching
version: 1
description: A suite of small networks.
seeds: [0]
tasks:
  - task: {name: sinusoid, init_args: {noise: 0.3}}
    train: {shots: [5], queries: 5, pool: 100}
    test: {shots: [5], queries: 5, episodes: 20}
    encoder: {name: mlp, init_args: {width: 16}}
    budget: {examples: 2000, epochs: 1, val_episodes: 5}
    learners:
      lstm: {learner: {name: lstm, init_args: {width: 16, slots: 1}}}
      attention: {learner: {name: attention, init_args: {width: 16, layers: 1}}}
      maml: {learner: {name: maml, init_args: {steps: 1, test_steps: 2, lr: 0.01}}}
  - task: {name: glyphs}
    over: {train_classes: [20, 40]}
    train: {ways: 3, shots: [1, 2], queries: 2, pool: 60, episodes: 4}
    test: {ways: 3, shots: [1, 2], queries: 2, episodes: 20, on: [unseen, seen]}
    encoder: {name: strided, init_args: {filters: 4}}
    budget: {examples: 600, epochs: 1, val_episodes: 5}
    learners:
      prototypes: {learner: {name: prototypes}}
      lstm: {learner: {name: lstm, init_args: {width: 16}}}
"""
COMMAND = ("--wandb", "off", "--jobs", "1", "--no-report")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of a finished suite with a report that has laboratories."""
    folder = tmp_path_factory.mktemp("laboratory")
    (folder / "teaching.yaml").write_text(SUITE)
    for arguments in (["run", str(folder / "teaching.yaml"), "--out", str(folder), *COMMAND],
                      ["report", str(folder), "--laboratory"]):  # fmt: skip
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    """The page, on a phone as wide as a student's; it must ask for nothing and complain about nothing."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            tmp_path_factory.mktemp("profile"), executable_path=CHROMIUM, headless=True,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
            viewport={"width": 390, "height": 844},
        )  # fmt: skip
        opened = context.new_page()
        complaints, requests = [], []
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("request", lambda request: requests.append(request.url.partition("#")[0]))
        path = runs / "report-teaching" / "index.html"
        opened.goto(path.as_uri())
        opened.wait_for_selector("html[data-ready=yes]", timeout=60_000)
        yield opened
        context.close()
    assert complaints == []
    assert {url.partition(":")[0] for url in requests} <= {"file", "blob", "data"}
    assert [url for url in requests if url.startswith("file")] == [path.as_uri()]
    assert path.stat().st_size < 8_000_000


def answered(page, act):
    """Does something and waits for the networks; returns the points and the curves by run."""
    section = page.locator("[data-functions='0']")
    before = section.get_attribute("data-answered")
    act()
    page.wait_for_function(
        "before => (document.querySelector('[data-functions]').dataset.answered ?? null) !== before", arg=before
    )
    return json.loads(section.get_attribute("data-answered")), section.evaluate("section => section.curves")


def test_networks_in_the_page_say_what_torch_says(page, runs):
    points, curves = answered(page, lambda: page.locator("#laboratory-1").scroll_into_view_if_needed())
    for _ in range(3):
        assert len(curves) == 2
        for run_id, curve in curves.items():
            network = Forward(load_run(runs / run_id).adapter).eval()
            x, y = (torch.tensor(each, dtype=torch.float32)[:, None] for each in zip(*points, strict=True))
            with torch.no_grad():
                wanted = network(x, y, torch.linspace(-5, 5, 101)[:, None]).numpy()
            assert np.abs(np.array(curve) - wanted).max() < 1e-4
        points, curves = answered(page, lambda: page.get_by_role("button", name="Add a point").click())


def test_points_are_dragged_added_and_removed(page):
    points = page.locator(".plot .point")
    count = points.count()
    first = page.locator(".plot .point").first
    page.locator(".plot").evaluate("plot => plot.scrollIntoView({block: 'center'})")
    box = first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag():
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 20, y - 30)
        page.mouse.up()

    before = page.locator(".plot .live").first.get_attribute("d")
    answered(page, drag)
    assert page.locator(".plot .live").first.get_attribute("d") != before
    assert abs(first.bounding_box()["x"] - box["x"] - 20) < 2
    first.focus()
    moved, _ = answered(page, lambda: page.keyboard.press("ArrowUp"))
    again, _ = answered(page, lambda: page.keyboard.press("ArrowUp"))
    assert again[0][1] == pytest.approx(moved[0][1] + 0.1)
    answered(page, lambda: page.keyboard.press("Delete"))
    assert points.count() == count - 1
    plot = page.locator(".plot").bounding_box()
    answered(page, lambda: page.mouse.click(plot["x"] + plot["width"] - 30, plot["y"] + 20))
    assert points.count() == count


def test_what_does_not_answer_says_so_and_the_band_follows(page):
    item = page.locator(".learners li", has_text="MAML")
    assert "computed before" in item.inner_text()
    assert page.locator(".plot .stale").count() == 1
    band = page.locator(".plot .band").get_attribute("d")
    assert len(band) > 500
    answered(page, lambda: page.get_by_label("Amplitude of the truth").fill("1.5"))
    assert page.locator(".plot .band").get_attribute("d") != band
    answered(page, lambda: page.get_by_role("button", name="Start again").click())
    assert page.locator(".plot .stale").count() == 0


def test_an_episode_is_changed_and_the_answers_that_change_are_counted(page, runs):
    section = page.locator("[data-explored='0']")
    images = section.locator(".support button")
    assert images.count() == 3
    assert "right" in section.get_by_role("status").inner_text()
    original = section.locator(".answers tbody").inner_text()
    images.nth(1).click()
    assert "removed" in images.nth(1).inner_text()
    assert "changed" in section.get_by_role("status").inner_text()
    assert section.locator(".answers tbody").inner_text() != original
    images.nth(1).click()
    assert "another drawing" in images.nth(1).inner_text()
    images.nth(1).click()
    assert section.locator(".answers tbody").inner_text() == original
    section.get_by_label("Support set").select_option("reversed")
    said = section.get_by_role("status").inner_text()
    assert "Prototypes" in said.split(";")[0]
    assert said.split(";")[0].endswith("0 changed")  # the order does not matter to prototypes
    section.get_by_label("Episode").select_option("3-way 2-shot")
    assert images.count() == 6
    section.get_by_label("Classes").select_option("seen in training")
    before = images.nth(0).locator(".character").get_attribute("style")
    section.get_by_role("button", name="Draw an episode").click()
    assert images.nth(0).locator(".character").get_attribute("style") != before


def test_answers_are_those_of_the_trained_network(page, runs):
    laboratory = json.loads((runs / "laboratory-teaching.json").read_text())
    from adaptbench.benchmarks.laboratory.episodes import answers, draw
    from adaptbench.benchmarks.runs.build import build_task
    from adaptbench.benchmarks.suites.spec import RUN_SPEC
    from adaptbench.datamodules.episodes import EpisodeSize

    episode = laboratory["explored"][0]["episodes"][0]
    own = episode["answers"][0]
    spec = RUN_SPEC.validate_json((runs / own["run_id"] / "spec.json").read_bytes())
    drawn = draw(build_task(spec.training), EpisodeSize(3, 1, 1), "test")[0]
    given = answers(load_run(runs / own["run_id"]).adapter, drawn)
    assert set(given) == set(own["given"])
    trained = load_run(runs / own["run_id"])
    directly = trained.predict(
        drawn.images[drawn.support], drawn.support_y.argmax(dim=-1), drawn.images[drawn.query]
    ).numpy()
    assert np.abs(given["original"] - directly).max() < 1e-5


def test_the_atlas_follows_its_sliders(page):
    section = page.locator("[data-atlas='0']")
    assert section.locator(".xtitle").text_content() == "training classes" or "training" in section.inner_text()
    lines = section.locator(".scatterlayer .trace")
    both = lines.count()
    section.get_by_label("Classes seen in training").uncheck()
    assert 0 < lines.count() < both
    before = section.locator(".points path").first.get_attribute("transform")
    section.get_by_label("Shots").fill("1")
    assert section.get_by_label("Shots").get_attribute("aria-valuetext") == "2"
    assert section.locator(".points path").first.get_attribute("transform") != before


def test_nothing_sticks_out_of_a_phone(page):
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
