"""The names that suites use for tasks, encoders and learners; nothing here imports torch."""

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from traceback import walk_tb
from typing import Any

from adaptbench.reports.selection import suggest


@dataclass(frozen=True)
class Form:
    """A form of a learner: as it was published, or as it is built here.

    Attributes:
        label: how tables call it.
        init_args: all arguments that set the learner's forms apart.
        source: where it was published, with the numbers of its equations, or else the section or algorithm that has it;
            empty for one that is built here.
    """

    label: str
    init_args: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""

    def departures(self, init_args: Mapping[str, Any]) -> list[str]:
        """Names the arguments that differ from this form's, such as `start random` and `pooled`."""
        changed = [name for name, own in self.init_args.items() if init_args.get(name, own) != own]
        return [name if init_args[name] is True else f"{name} {init_args[name]}".lower() for name in changed]


@dataclass(frozen=True)
class Named:
    """A named component.

    Attributes:
        path: dotted path of its class; relative to `adaptbench` in the tables below.
        summary: one line for `adaptbench list`.
        label: its name in tables.
        family: learners of a family share a line style.
        reference: the publication of a learner.
        forms: of a learner, first the one without arguments, whose label is the component's.
    """

    path: str
    summary: str
    label: str = ""
    family: str = ""
    reference: str = ""
    forms: tuple[Form, ...] = ()

    def nearest_form(self, init_args: Mapping[str, Any]) -> tuple[Form, list[str]]:
        """Returns the form that is most like the component with these arguments, and how it departs from it."""
        if not self.forms:
            return Form(self.label), []
        given = {**self.forms[0].init_args, **init_args}
        nearest = min(self.forms, key=lambda form: len(form.departures(given)))
        return nearest, nearest.departures(given)


PRODUCT = {"binding": "product", "start": "sum", "query": "read", "pooled": False}
PAIRS = {"binding": "concat", "start": "random", "query": "step", "pooled": False}
COSINE, DOT = {"compare": "cosine", "maps": 1}, {"compare": "dot", "maps": 2}

TASKS = {
    "omniglot": Named("datamodules.omniglot.OmniglotDataModule", "handwritten characters, N-way K-shot",
                      label="Omniglot"),
    "glyphs": Named("datamodules.glyphs.GlyphsDataModule", "generated characters without end, N-way K-shot",
                    label="Glyphs"),
    "glyphs_to_omniglot": Named("datamodules.glyphs_to_omniglot.GlyphsToOmniglotDataModule",
                                "trained on glyphs, tested on Omniglot", label="Glyphs to Omniglot"),
    "image_folder": Named("datamodules.image_folder.ImageFolderDataModule", "your own images, a folder a class",
                          label="Image folder"),
    "lake_runs": Named("datamodules.lake_runs.LakeRunsDataModule", "Omniglot's 20 official one-shot runs, 400 trials",
                       label="Lake's runs"),
    "linear_regression": Named("datamodules.linear_regression.LinearRegressionDataModule",
                               "regression of w . x in 8 dimensions with noise", label="Linear regression"),
    "omniglot-online": Named("datamodules.omniglot_online.OmniglotOnlineDataModule",
                             "a stream of characters, labels one step late", label="Omniglot online"),
    "sinusoid": Named("datamodules.sinusoid.SinusoidDataModule", "regression of A sin(x - phase)", label="Sinusoid"),
}  # fmt: skip
ENCODERS = {
    "mlp": Named("lit_modules.encoders.MLP", "a perceptron"),
    "conv4": Named("lit_modules.encoders.Conv4", "four convolutions with max-pooling"),
    "strided": Named("lit_modules.encoders.StridedConv", "four convolutions of stride 2, about four times as fast"),
}  # fmt: skip
LEARNERS = {
    "lstm": Named("lit_modules.recurrent.LSTM", "reads the support set as a sequence", label="LSTM, bound",
                  family="recurrent", reference="Hochreiter et al. 2001, doi:10.1007/3-540-44668-0_13; "
                                                "Santoro et al. 2016, arXiv 1605.06065", forms=(
        Form("LSTM, bound", PRODUCT),
        Form("LSTM", PAIRS, "Hochreiter et al. 2001; Santoro et al. 2016, sec. 2"),
    )),
    "gru": Named("lit_modules.recurrent.GRU", "reads the support set as a sequence", label="GRU, bound",
                 family="recurrent", reference="Cho et al. 2014, arXiv 1406.1078", forms=(
        Form("GRU, bound", PRODUCT),
        Form("GRU", PAIRS, "Cho et al. 2014, eqs. 5-8 with the reset after the product, in place of the LSTM"),
    )),
    "mann": Named("lit_modules.mann.MANN", "writes the support set into a memory", label="MANN, bound",
                  family="recurrent", reference="Santoro et al. 2016, arXiv 1605.06065", forms=(Form("MANN, bound"),)),
    "mann_lrua": Named("lit_modules.mann_lrua.LRUAMANN", "writes keys where least recently used", label="MANN",
                       family="recurrent", reference="Santoro et al. 2016, arXiv 1605.06065", forms=(
        Form("MANN", source="Santoro et al. 2016, eqs. 2-8"),
    )),
    "deep_sets": Named("lit_modules.deep_sets.DeepSets", "averages pairs, in all or per class", label="Deep sets",
                       family="sets",
                       reference="Zaheer et al. 2017, arXiv 1703.06114; Garnelo et al. 2018, arXiv 1807.01613", forms=(
        Form("Deep sets", {"binding": "product", "aggregate": "mean"}),
        Form("Deep sets per class", {"binding": "product", "aggregate": "per_class"}),
        Form("CNP", {"binding": "concat", "aggregate": "mean"}, "Garnelo et al. 2018, eqs. 1-3"),
        Form("CNP, class means in a row", {"binding": "concat", "aggregate": "per_class"},
             "Garnelo et al. 2018, sec. 4.3"),
    )),
    "hypernetwork": Named("lit_modules.hypernetwork.Hypernetwork", "generates a predictor's weights",
                          label="Hypernetwork, fast weights", family="sets",
                          reference="Ha et al. 2016, arXiv 1609.09106", forms=(
        Form("Hypernetwork, fast weights", {"fast": True}),
        Form("Hypernetwork", {"fast": False}, "Ha et al. 2016, eqs. 1 and 2 as one linear map"),
    )),
    "attention": Named("lit_modules.attention.Attention", "transformer that queries attend to", label="Attention",
                       family="attention",
                       reference="Kim et al. 2019, arXiv 1901.05761; Nguyen & Grover 2022, arXiv 2207.04179", forms=(
        Form("Attention", COSINE),
        Form("Attention, dot product", DOT, "Vaswani et al. 2017, eq. 1"),
    )),
    "tnpd": Named("lit_modules.tnpd.TNPD", "transformer over pairs and queries in one sequence", label="TNP-D",
                  family="attention", reference="Nguyen & Grover 2022, arXiv 2207.04179", forms=(
        Form("TNP-D", {"norm": "after"}, "Nguyen & Grover 2022"),
        Form("TNP-D, normalised before", {"norm": "before"}),
    )),
    "snail": Named("lit_modules.snail.SNAIL", "causal convolutions and attention", label="SNAIL, cosine",
                   family="attention", reference="Mishra et al. 2018, arXiv 1707.03141", forms=(
        Form("SNAIL, cosine", {**COSINE, "itself": False}),
        Form("SNAIL", {**DOT, "itself": True}, "Mishra et al. 2018, pseudocode of sec. 3.1"),
    )),
    "tcn": Named("lit_modules.tcn.TCN", "causal convolutions alone", label="Temporal convolution",
                 family="convolution", reference="Mishra et al. 2018, arXiv 1707.03141", forms=(
        Form("Temporal convolution", source="Mishra et al. 2018, TC blocks of sec. 3.1, without attention"),
    )),
    "prototypes": Named("lit_modules.prototypes.Prototypes", "nearest class mean in feature space",
                        label="Prototypes", family="metric", reference="Snell et al. 2017, arXiv 1703.05175", forms=(
        Form("Prototypes", source="Snell et al. 2017, eqs. 1 and 2"),
    )),
}  # fmt: skip
GRADIENT_LEARNERS = {
    "maml": Named("lit_modules.maml.MAML", "weights to take gradient steps from", label="MAML, first order",
                  family="optimization", reference="Finn et al. 2017, arXiv 1703.03400", forms=(
        Form("MAML, first order", {"first_order": True, "zero_head": False}, "Finn et al. 2017, sec. 5.2"),
        Form("MAML", {"first_order": False, "zero_head": False}, "Finn et al. 2017, algorithm 2"),
        Form("MAML, first order, head from zero", {"first_order": True, "zero_head": True}),
        Form("MAML, head from zero", {"first_order": False, "zero_head": True}, "Kao et al. 2022, arXiv 2106.15367"),
    )),
    "anil": Named("lit_modules.maml.ANIL", "a head to take gradient steps from", label="ANIL",
                  family="optimization", reference="Raghu et al. 2020, arXiv 1909.09157", forms=(
        Form("ANIL", source="Raghu et al. 2020, sec. 4"),
    )),
    "reptile": Named("lit_modules.maml.Reptile", "weights near those that gradient steps lead to", label="Reptile",
                     family="optimization", reference="Nichol et al. 2018, arXiv 1803.02999", forms=(
        Form("Reptile", source="Nichol et al. 2018, batched, with plain descent"),
    )),
    "maml_learn2learn": Named("lit_modules.learn2learn_maml.MAML", "the same through the extra `learn2learn`",
                              label="MAML, learn2learn", family="optimization",
                              reference="Arnold et al. 2020, arXiv 2008.12284"),
    "anil_learn2learn": Named("lit_modules.learn2learn_maml.ANIL", "the same through the extra `learn2learn`",
                              label="ANIL, learn2learn", family="optimization",
                              reference="Arnold et al. 2020, arXiv 2008.12284"),
}  # fmt: skip
"""Learners that take gradient steps on each support set."""
STRATEGIES = {
    "fine_tuning": Named("lit_modules.fine_tuning.FineTuning", "gradient steps from a pretrained network",
                         label="Fine-tuning", family="transfer", reference="Chen et al. 2019, arXiv 1904.04232"),
    "chosen_fine_tuning": Named("lit_modules.cross_validated.ChosenFineTuning",
                                "fine-tuning, its settings cross-validated", label="Fine-tuning, chosen",
                                family="transfer"),
    "from_scratch": Named("lit_modules.controls.FromScratch", "control: the same network without pretraining",
                          label="From scratch", family="control"),
    "nearest_centroid": Named("lit_modules.controls.NearestCentroid",
                              "control: nearest class mean of frozen features", label="Nearest centroid",
                              family="control", reference="Mensink et al. 2013, doi:10.1109/TPAMI.2013.83; "
                                                          "Snell et al. 2017, arXiv 1703.05175"),
    "nearest_neighbour": Named("lit_modules.controls.NearestNeighbour", "control: nearest neighbour on pixels",
                               label="Nearest pixels", family="control"),
    "average": Named("lit_modules.controls.Average", "control: the mean function, ignoring the support set",
                     label="Average function", family="control"),
    "gaussian_process": Named("lit_modules.gaussian_process.GaussianProcess",
                              "control: a Gaussian process on the support set alone", label="Gaussian process",
                              family="control", reference="Rasmussen & Williams 2006, ISBN 026218253X"),
    "oracle": Named("lit_modules.controls.Oracle", "control: told amplitude and phase", label="Oracle",
                    family="control", reference="Finn et al. 2017, arXiv 1703.03400"),
    "bayes": Named("lit_modules.bayes.Bayes", "limit: exact, over all functions or those of training",
                   label="Bayes, all functions", family="limit", reference="Raventos et al. 2023, arXiv 2306.15063",
                   forms=(
        Form("Bayes, all functions", {"knows": "all"}),
        Form("Bayes, training functions", {"knows": "training"}),
    )),
}  # fmt: skip
PRETRAINING = {
    "pretraining": Named("lit_modules.transfer.TransferModule", "what strategies adapt", "Pretraining", "transfer")
}
KINDS = {
    "task": TASKS,
    "encoder": ENCODERS,
    "learner": LEARNERS | GRADIENT_LEARNERS,
    "strategy": STRATEGIES,
    "pretraining": PRETRAINING,
}
LIBRARIES = ("adaptbench", "torch", "pytorch_lightning")
"""Packages whose code is not the user's own; its versions are recorded, and are in no id."""
INSTALLED = ("site-packages", "dist-packages")
"""Folders in which modules that lie side by side belong to different people."""
OLD_NAMES = ("benchmarks", "datamodules", "lit_modules", "reports")
"""Names of the packages before they were parts of `adaptbench`."""
RENAMED = {
    "lit_modules.rules": "lit_modules.rates",
    "lit_modules.chosen": "lit_modules.cross_validated",
    "lit_modules.anil": "lit_modules.maml",
    "lit_modules.inner_loop": "lit_modules.learn2learn_maml",
    "lit_modules.learn2learn_import": "lit_modules.learn2learn_maml",
}
"""Former names of modules, and their present ones."""


def find(kind: str, name: str) -> Named:
    """Finds a component by its name, or by the dotted path of a user's class.

    Raises:
        ValueError: if there is no such name; the message names the nearest one.
    """
    entries = KINDS[kind]
    if name in entries:
        return replace(entries[name], path=f"adaptbench.{entries[name].path}")
    if (current := _current(name)) != name:
        raise ValueError(f"Expected a known {kind} but got `{name}`, whose name is now `{current}`.")
    if "." in name:
        if not all(part.isidentifier() for part in name.split(".")):
            raise ValueError(f"Expected a known {kind} or a dotted path, package.Class, but got `{name}`.")
        return Named(name, "", label=name.rpartition(".")[2], family="own")
    raise ValueError(f"Expected a known {kind} but got `{name}`. {suggest(name, entries)}")


def _current(name: str) -> str:
    """Returns the present dotted path of one of our classes, or any other name unchanged.

    A user's package may have a former name of ours, so only modules that exist count as ours.
    """
    module, dot, attribute = name.removeprefix("adaptbench.").rpartition(".")
    path = RENAMED.get(module, module)
    ours = path.partition(".")[0] in OLD_NAMES and "." in path and find_spec(f"adaptbench.{path}") is not None
    return f"adaptbench.{path}{dot}{attribute}" if ours else name


def load(kind: str, name: str) -> Any:  # noqa: ANN401 - a class of any kind
    """Imports a component's class; a user's own may lie in the current folder.

    Raises:
        ValueError: if the name is unknown or the class cannot be imported.
    """
    module, _, attribute = find(kind, name).path.rpartition(".")
    if "." in name and (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # last, so that no file there hides a library
    try:
        found = importlib.import_module(module)
    except Exception as error:  # a user's module may raise anything
        reason = str(error) if isinstance(error, ImportError) else named(error)
        raise ValueError(f"Expected a class but `{name}` cannot be imported: {reason}.") from error
    if not hasattr(found, attribute):
        classes = [
            each for each, value in vars(found).items() if isinstance(value, type) and value.__module__ == module
        ]
        raise ValueError(
            f"Expected a class but `{name}` cannot be imported: {module} has no {attribute}. "
            f"{suggest(attribute, classes)}"
        )
    return getattr(found, attribute)


def named(error: Exception) -> str:
    """An error with its type, on one line, and with the last line of a user's own code that it passed through."""
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(".")
    for frame, line in reversed([*walk_tb(error.__traceback__)]):
        file = Path(frame.f_code.co_filename)
        top = frame.f_globals.get("__name__", "").partition(".")[0]
        if file.is_file() and top not in {*LIBRARIES, *sys.stdlib_module_names} and not {*INSTALLED} & {*file.parts}:
            return f"{text} ({file.name}, line {line})"
    return text


def own_label(task: str, init_args: Mapping[str, Any]) -> str:
    """Returns what a task with these arguments calls itself, if that is no task's name; else an empty text."""
    kind = load("task", task)
    label: str = kind.label(init_args) if hasattr(kind, "label") else ""
    return "" if is_name_of_another(label, task) else label


def is_name_of_another(label: str, task: str) -> bool:
    """Whether the label of a task is the name of another one that ships."""
    return any(label.lower() in (name, named.label.lower()) for name, named in TASKS.items() if name != task)


def suite_files() -> dict[str, Path]:
    """Returns the files of the suites that ship, by name."""
    folder = Path(str(resources.files("adaptbench.benchmarks.suites")))
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def suites() -> dict[str, Named]:
    """Returns the suites that ship, by name."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the compiled loader is ten times as fast
    files = suite_files()
    return {name: Named(str(path), yaml.load(path.read_text(), loader)["description"]) for name, path in files.items()}
