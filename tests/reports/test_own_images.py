"""Reports on images of the user's own: what tables and files are called, and the images that guards named."""

import json

import pandas as pd

from adaptbench.reports.format import FORMAT_VERSION
from adaptbench.reports.report import write_report


def test_a_task_with_a_label_has_tables_of_its_own_that_say_it(folder, tmp_path):
    for label, protocol in (("my mushrooms", "mushrooms"), ("mushrooms", "mushrooms"), ("", "leaves"), ("猫", "cats")):
        folder.plan("image_folder", "lstm", "LSTM", "recurrent", 0, 8, protocol, key=label)["task_label"] = label
    folder.write_suite().finish()
    report = write_report(folder.path, tmp_path)
    assert [each.place for each in report.comparisons] == [
        "my mushrooms (mushrooms)",
        "mushrooms",
        "Image folder (leaves)",
        "猫 (cats)",
    ]
    names = ("my-mushrooms", "mushrooms", "image-folder", "image-folder-2")
    assert all((tmp_path / f"{kind}-{name}.md").is_file() for kind in ("table", "compute") for name in names)
    assert all((tmp_path / f"figure-{name}.png").is_file() for name in names)
    assert list(pd.read_csv(report.records)["task"].unique()) == ["my mushrooms", "mushrooms", "image_folder", "猫"]
    assert " on my mushrooms (mushrooms), 5-way. " in (tmp_path / "table-my-mushrooms.md").read_text(encoding="utf-8")
    only = {"task": ("My mushrooms",)}
    assert [each.label for each in write_report(folder.path, tmp_path, only=only).comparisons] == ["my mushrooms"]


def test_equal_images_that_guards_named_are_notes_of_the_report(folder, tmp_path):
    for learner, classes in (("lstm", 8), ("lstm", 4), ("deep_sets", 8)):
        folder.plan("image_folder", learner, learner, "recurrent", 0, classes, "cats")
    folder.write_suite().finish()
    named = [f"a/{number}.png and b/{number}.png" for number in range(5)]
    finding = {"guard": "near-duplicates", "status": "noted", "found": "5 images <b>, such as a.", "named": named}
    for cell in folder.cells[:2]:
        found = (
            [finding, {**finding, "named": []}] if cell["train_classes"] == 8 else [{**finding, "found": "Not this."}]
        )
        path = folder.path / cell["run_id"] / "guards.json"
        path.write_text(json.dumps({"format_version": FORMAT_VERSION, "findings": found}))
    report = write_report(folder.path, tmp_path)
    assert report.notes == (
        f"image_folder: 5 images <b>, such as a. {folder.path / folder.cells[0]['run_id']}/guards.json names all.",
    )
    page = report.page.read_text(encoding="utf-8")
    assert '<h2 id="notes">Notes</h2>' in page and "5 images &lt;b&gt;, such as a." in page
    (folder.path / folder.cells[0]["run_id"] / "guards.json").write_text("{}")
    (note,) = write_report(folder.path, tmp_path).notes
    assert folder.cells[0]["run_id"] in note and "Expected guards.json to have format version 1" in note
