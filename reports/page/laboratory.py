"""The laboratories of the page: networks that answer in it, episodes with answers, and errors over training classes."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from adaptbench.reports.comparison.comparison import Comparison
from adaptbench.reports.figures.styles import line_styles
from adaptbench.reports.laboratory_format import Explored, Functions, Laboratory
from adaptbench.reports.page.packing import pack_compressed
from adaptbench.reports.page.page_data import SYMBOLS
from adaptbench.reports.reading import read
from adaptbench.reports.results.manifest import Suite
from adaptbench.reports.results.names import place_name, task_name
from adaptbench.reports.results.runs import Run


def read_laboratory(folders: Sequence[Path], suite: str) -> Laboratory:
    """Reads what networks gave to the laboratories, from the first folder that has it; nothing if none has.

    Args:
        folders: Folders of runs.
        suite: The suite.

    Raises:
        Unreadable: The file is damaged or of another version.
    """
    paths = (folder / f"laboratory-{suite}.json" for folder in folders)
    found = (read(path, Laboratory) for path in paths if path.is_file())
    return next(found, Laboratory(functions=(), explored=()))


def packed_networks(laboratory: Laboratory, runs: Sequence[Run], room: int) -> dict[str, Markup]:
    """The networks that fit into the page, the smallest first, by the names of their places in it.

    Args:
        laboratory: What networks gave.
        runs: The finished runs; networks of other runs are left out.
        room: Characters that they may take together.
    """
    known = {run.cell.run_id for run in runs}
    named = {
        f"network-{each.run_id}": each.onnx
        for functions in laboratory.functions
        for each in functions.networks
        if each.onnx and each.run_id in known
    }
    named |= {f"bayes-{place}": each.bayes for place, each in enumerate(laboratory.functions) if each.bayes}
    found: dict[str, Markup] = {}
    for name, text in sorted(named.items(), key=lambda pair: len(pair[1])):
        packed = pack_compressed(base64.b64decode(text))
        if len(packed) + sum(map(len, found.values())) <= room:
            found[name] = packed
    return found


def laboratory_data(
    laboratory: Laboratory, suite: Suite, runs: Sequence[Run], networks: Mapping[str, Markup]
) -> dict[str, Any]:
    """What the script of the laboratories reads, as JSON values."""
    known = {run.cell.run_id: run for run in runs}
    colours = {learner: str(style["color"]) for learner, style in line_styles(suite).items()}
    functions = [_functions(each, place, known, colours, networks) for place, each in enumerate(laboratory.functions)]
    explored = [_explored(each, known, colours) for each in laboratory.explored]
    return {
        "functions": [each for each in functions if each["learners"] and each["pictures"]],
        "explored": [each for each in explored if each["learners"]],
    }


def _learner(run: Run, colours: Mapping[str, str]) -> dict[str, Any]:
    return {"run": run.cell.run_id, "label": run.cell.label, "colour": colours[run.cell.learner]}


def _functions(
    functions: Functions,
    place: int,
    known: Mapping[str, Run],
    colours: Mapping[str, str],
    networks: Mapping[str, Markup],
) -> dict[str, Any]:
    fits: dict[str, pd.DataFrame] = {}
    learners = []
    for each in functions.networks:
        run = known.get(each.run_id)
        if run is None:
            continue
        name = f"network-{each.run_id}"
        why = each.why_not or ("" if name in networks else "its network is too large for this page")
        learners.append({**_learner(run, colours), "network": name if name in networks else "", "why": why})
        if run.fits is not None:
            fits[each.run_id] = run.fits
    return {
        "task": task_name(functions.task),
        "place": place_name(functions.task, "", functions.protocol),
        "noise": functions.noise,
        "bayes": f"bayes-{place}" if f"bayes-{place}" in networks else "",
        "learners": learners,
        "pictures": _pictures(fits),
    }


def _pictures(fits: Mapping[str, pd.DataFrame]) -> list[dict[str, Any]]:
    """The pictured functions, with the curve of each run that has them and whose predictions are numbers."""
    pictured = [table[["shots", "function"]].drop_duplicates().astype(int) for table in fits.values()]
    found = []
    for shots, function in dict.fromkeys(place for each in pictured for place in each.itertuples(index=False)):
        having = {
            run_id: rows
            for run_id, table in fits.items()
            if len(rows := table[(table["shots"] == shots) & (table["function"] == function)])
        }
        rows = next(iter(having.values()))
        support, query = (rows[rows["role"] == role] for role in ("support", "query"))
        x, y = query["x"].to_numpy(float), query["y"].to_numpy(float)
        of_sine, of_cosine = np.linalg.lstsq(np.stack([np.sin(x), np.cos(x)], axis=1), y, rcond=None)[0]
        curves = {}
        for run_id, table in having.items():
            predictions = table["prediction"][table["role"] == "query"]
            if np.isfinite(predictions).all():
                curves[run_id] = [round(value, 3) for value in predictions.tolist()]
        found.append(
            {
                "name": f"function {function + 1}, {shots} point{'' if shots == 1 else 's'}",
                "amplitude": float(np.hypot(of_sine, of_cosine)),
                "phase": float(np.arctan2(-of_cosine, of_sine)),
                "points": [[round(a, 3), round(b, 3)] for a, b in zip(support["x"], support["y"], strict=True)],
                "x": [round(value, 3) for value in x.tolist()],
                "curves": curves,
            }
        )
    return found


def _explored(explored: Explored, known: Mapping[str, Run], colours: Mapping[str, str]) -> dict[str, Any]:
    asked = dict.fromkeys(answers.run_id for episode in explored.episodes for answers in episode.answers)
    runs = [known[run_id] for run_id in asked if run_id in known]
    episodes = [
        {
            **episode.model_dump(exclude={"answers"}),
            "answers": {each.run_id: each.given for each in episode.answers if each.run_id in known},
        }
        for episode in explored.episodes
    ]
    return {
        **explored.model_dump(exclude={"episodes", "task", "protocol"}),
        "task": task_name(explored.task),
        "place": place_name(*runs[0].cell.group) if runs else "",
        "episodes": episodes,
        "learners": [_learner(run, colours) for run in runs],
    }


def atlas(suite: Suite, runs: Sequence[Run], named: Mapping[str, Comparison]) -> list[dict[str, Any]]:
    """The error of every run at each setting, of comparisons with several numbers of training classes."""
    styles = line_styles(suite)
    found = []
    for name, comparison in named.items():
        own = [run for run in runs if run.cell.group == comparison.group]
        if len({run.cell.train_classes for run in own}) < 2:
            continue
        percent = comparison.metric.unit == "%"
        found.append(
            {
                "name": name,
                "title": comparison.place,
                "error": "error in %" if percent else comparison.metric.heading,
                "words": own[0].cell.class_word,
                "learners": [
                    {
                        "label": run.cell.label,
                        "colour": styles[run.cell.learner]["color"],
                        "symbol": SYMBOLS[styles[run.cell.learner]["marker"]],
                        "learner": run.cell.learner,
                    }
                    for run in {run.cell.learner: run for run in own}.values()
                ],
                "points": [point for run in own for point in _errors(run, comparison.metric.scale, percent=percent)],
            }
        )
    return found


def _errors(run: Run, scale: float, *, percent: bool) -> list[list[Any]]:
    """Learner, classes, budget, ways, shots, what it was tested on, seed, error and run of each score of a run."""
    cell = run.cell
    scores = [("unseen", setting, values) for setting, values in run.episode_scores.items()]
    scores += [(on, setting, values) for (on, setting), values in run.training_scores.items()]
    return [
        [cell.learner, cell.train_classes, setting.examples, setting.ways, setting.shots, on, cell.seed,
         float(f"{(1 - mean) * 100 if percent else mean * scale:.4g}"), cell.run_id]
        for on, setting, values in scores
        if np.isfinite(mean := float(values.mean()))
    ]  # fmt: skip
