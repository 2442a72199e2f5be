"""Proper names of tasks and splits, for captions and figures."""

import re
from collections.abc import Mapping

TASKS: Mapping[str, str] = {
    "omniglot": "Omniglot",
    "omniglot-online": "Omniglot online",
    "lake_runs": "Lake's runs",
    "glyphs": "Glyphs",
    "glyphs_to_omniglot": "Glyphs to Omniglot",
    "sinusoid": "Sinusoids",
    "linear_regression": "Linear regression",
    "image_folder": "Image folder",
}
SPLITS: Mapping[str, str] = {
    "vinyals": "Vinyals split",
    "vinyals_clean": "clean Vinyals split",
    "lake": "Lake split",
    "random": "random split",
    "small1": "first small split",
    "small2": "second small split",
}
OF_OMNIGLOT = ("omniglot", "omniglot-online", "lake_runs", "glyphs_to_omniglot")
"""The tasks whose protocols name a split of Omniglot."""
_SPLIT = re.compile(rf"(?:^|(?<=, learned from )|(?<=, tested on Omniglot: ))({'|'.join(SPLITS)})(?=$|,| \()")


def task_name(task: str) -> str:
    """The proper name of a task; the label or the name of a user's own task as it is."""
    return TASKS.get(task, task)


def place_name(task: str, label: str, protocol: str) -> str:
    """Task and protocol by their proper names, such as "Omniglot (Vinyals split, rotations in training)".

    Args:
        task: The task.
        label: Its label; empty if it has none.
        protocol: Its protocol.
    """
    name, words = task_name(label or task), protocol_name(task, protocol)
    words = words if words != name else ""
    words = words.removeprefix(f"{name}, ")  # a folder of images is called by its name already
    return f"{name} ({words})" if words else name


def protocol_name(task: str, protocol: str) -> str:
    """A protocol with the proper name of its split of Omniglot; of other tasks, as it is."""
    return _SPLIT.sub(lambda found: SPLITS[found[1]], protocol) if task in OF_OMNIGLOT else protocol
