"""Why Lake's official trials are easier than fresh ones: by their characters, by their drawers, or both.

    python docs/lake/trials.py RUNS

takes every network of prototypes that `adaptbench run lake --only task=lake_runs --out RUNS` trained. It exchanges the
characters of the official trials for others of the same alphabet, or both drawers for others, or both, and prints the
errors in per cent: a row for each exchange, a column for each seed.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from adaptbench.benchmarks.runs.trained import TrainedAdapter, load_run
from adaptbench.datamodules.lake_runs import load_runs
from adaptbench.datamodules.omniglot_images import load_images

DRAWS = 50
"""Exchanges of each official run."""


def errors(network: TrainedAdapter) -> dict[str, float]:
    """The errors in per cent of a network on the official trials, and with each exchange."""
    runs, images = load_runs(), load_images()
    characters, people = images.pixels.shape[:2]
    known = {images.pixels[c, d].tobytes(): (c, d) for c in range(characters) for d in range(people)}
    alphabets = np.array([alphabet for alphabet, _ in images.characters])
    rng = np.random.default_rng(0)

    def error(chosen: np.ndarray, support: int, query: int) -> float:
        shown, asked = (torch.from_numpy(images.pixels[chosen, drawer]) for drawer in (support, query))
        found = network.predict(shown, torch.arange(len(chosen)), asked).argmax(-1).numpy()
        return 100 * float(np.mean(found != np.arange(len(chosen))))

    found: dict[str, list[float]] = {}
    for support, query in zip(runs.support, runs.query, strict=True):
        own = np.array([known[image.tobytes()][0] for image in support])
        first, second = known[support[0].tobytes()][1], known[query[0].tobytes()][1]
        of_alphabet = np.flatnonzero(alphabets == alphabets[own[0]])
        found.setdefault("official trials", []).append(error(own, first, second))
        for _ in range(DRAWS):
            others = rng.choice(of_alphabet, len(own), replace=False)
            one, another = rng.choice(people, 2, replace=False)
            found.setdefault("other characters, the official drawers", []).append(error(others, first, second))
            found.setdefault("the official characters, other drawers", []).append(error(own, one, another))
            found.setdefault("other characters, other drawers", []).append(error(others, one, another))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main(runs: Path) -> None:
    """Prints the errors of every network in a folder of runs."""
    torch.set_num_threads(1)
    results = [json.loads(path.read_bytes()) for path in sorted(runs.glob("[!.]*/result.json"))]
    wanted = [each for each in results if (each["task"], each["learner"]) == ("lake_runs", "prototypes")]
    wanted.sort(key=lambda each: each["seed"])
    columns = [errors(load_run(runs / each["run_id"])) for each in wanted]
    for name in columns[0]:
        print(f"{name:42}", *(f"{column[name]:6.2f}" for column in columns))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
