"""Proper names stand where they belong: a split of Omniglot in a protocol of Omniglot, and nowhere else."""

import pytest

from adaptbench.reports.results.names import place_name


@pytest.mark.parametrize(
    ("task", "label", "protocol", "expected"),
    [
        ("omniglot", "", "vinyals, no rotations", "Omniglot (Vinyals split, no rotations)"),
        ("omniglot", "Letters", "random (seed 0), online", "Letters (random split (seed 0), online)"),
        (
            "lake_runs",
            "",
            "20 official runs, learned from lake",
            "Lake's runs (20 official runs, learned from Lake split)",
        ),
        (
            "glyphs_to_omniglot",
            "",
            "generated characters, tested on Omniglot: vinyals_clean, no rotations",
            "Glyphs to Omniglot (generated characters, tested on Omniglot: clean Vinyals split, no rotations)",
        ),
        ("image_folder", "lake", "lake", "lake"),
        ("image_folder", "great-lake", "great-lake, within groups", "great-lake (within groups)"),
        ("my_tasks.Birds", "", "classes drawn at random", "my_tasks.Birds (classes drawn at random)"),
    ],
)
def test_splits_have_names_in_protocols_of_omniglot_alone(task, label, protocol, expected):
    assert place_name(task, label, protocol) == expected
