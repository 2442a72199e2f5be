"""Remarks of a protocol stand in the caption of every table of it, and of no other."""

from adaptbench.reports.report import write_report


def test_remarks_stand_in_the_captions_of_their_protocol(folder, tmp_path):
    folder.plan_quick(learners={"lstm": ("LSTM", "recurrent")}, sizes=(50,))
    for cell in folder.find(task="omniglot"):
        cell["remarks"] = ["An episode takes its characters from any alphabet.", "One alphabet stands in two parts."]
    folder.write_suite().finish()
    write_report(folder.path, tmp_path / "out")
    texts = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "out").rglob("*.md")}
    omniglot = " ".join(text for name, text in texts.items() if "omniglot" in name)
    sinusoid = " ".join(text for name, text in texts.items() if "sinusoid" in name)
    assert "5-way. An episode takes its characters from any alphabet. One alphabet stands in" in omniglot
    assert sinusoid and "alphabet" not in sinusoid
