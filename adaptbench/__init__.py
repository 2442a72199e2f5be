"""A reproducible benchmark of learning to learn: the door for Python users."""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.version_info < (3, 11):  # noqa: UP036 - a checkout has no installer that refuses
    raise ImportError("Expected Python 3.11 or newer but this is " + sys.version.split()[0] + ".")

if TYPE_CHECKING:
    from adaptbench.benchmarks.api import RunsFailed, compare, run
    from adaptbench.benchmarks.runs.trained import RealPrediction, TrainedAdapter, load_run
    from adaptbench.datamodules.base import EpisodicDataModule, EvalEpisodes, Sampling, TrainEpisodes
    from adaptbench.datamodules.class_task import ClassDataModule
    from adaptbench.datamodules.episodes import EpisodeBatch, EpisodeSize, ExampleBatch, rng_for
    from adaptbench.datamodules.glyphs import GlyphsDataModule
    from adaptbench.datamodules.glyphs_to_omniglot import GlyphsToOmniglotDataModule
    from adaptbench.datamodules.image_folder import ImageFolderDataModule
    from adaptbench.datamodules.lake_runs import LakeRunsDataModule
    from adaptbench.datamodules.linear_regression import LinearRegressionDataModule
    from adaptbench.datamodules.omniglot import OmniglotDataModule
    from adaptbench.datamodules.omniglot_online import OmniglotOnlineDataModule
    from adaptbench.datamodules.sinusoid import SinusoidDataModule
    from adaptbench.lit_modules.attention import Attention
    from adaptbench.lit_modules.bayes import Bayes
    from adaptbench.lit_modules.controls import Average, FromScratch, NearestCentroid, NearestNeighbour, Oracle
    from adaptbench.lit_modules.cross_validated import ChosenFineTuning
    from adaptbench.lit_modules.deep_sets import DeepSets
    from adaptbench.lit_modules.embedding import EmbeddingLearner
    from adaptbench.lit_modules.encoders import MLP, Conv4, StridedConv
    from adaptbench.lit_modules.episodic import EpisodicModule, StreamModule
    from adaptbench.lit_modules.fine_tuning import FineTuning
    from adaptbench.lit_modules.gaussian_process import GaussianProcess
    from adaptbench.lit_modules.hypernetwork import Hypernetwork
    from adaptbench.lit_modules.likelihoods import Categorical, Gaussian
    from adaptbench.lit_modules.maml import ANIL, MAML, Reptile
    from adaptbench.lit_modules.mann import MANN
    from adaptbench.lit_modules.mann_lrua import LRUAMANN
    from adaptbench.lit_modules.optimization import Optimization
    from adaptbench.lit_modules.prototypes import Prototypes
    from adaptbench.lit_modules.recurrent import GRU, LSTM
    from adaptbench.lit_modules.snail import SNAIL
    from adaptbench.lit_modules.tcn import TCN
    from adaptbench.lit_modules.tnpd import TNPD
    from adaptbench.lit_modules.transfer import TransferModule
    from adaptbench.reports.sources.loading import Results, load_results

__all__ = [
    "ANIL",
    "GRU",
    "LRUAMANN",
    "LSTM",
    "MAML",
    "MANN",
    "MLP",
    "SNAIL",
    "TCN",
    "TNPD",
    "Attention",
    "Average",
    "Bayes",
    "Categorical",
    "ChosenFineTuning",
    "ClassDataModule",
    "Conv4",
    "DeepSets",
    "EmbeddingLearner",
    "EpisodeBatch",
    "EpisodeSize",
    "EpisodicDataModule",
    "EpisodicModule",
    "EvalEpisodes",
    "ExampleBatch",
    "FineTuning",
    "FromScratch",
    "Gaussian",
    "GaussianProcess",
    "GlyphsDataModule",
    "GlyphsToOmniglotDataModule",
    "Hypernetwork",
    "ImageFolderDataModule",
    "LakeRunsDataModule",
    "LinearRegressionDataModule",
    "NearestCentroid",
    "NearestNeighbour",
    "OmniglotDataModule",
    "OmniglotOnlineDataModule",
    "Optimization",
    "Oracle",
    "Prototypes",
    "RealPrediction",
    "Reptile",
    "Results",
    "RunsFailed",
    "Sampling",
    "SinusoidDataModule",
    "StreamModule",
    "StridedConv",
    "TrainEpisodes",
    "TrainedAdapter",
    "TransferModule",
    "compare",
    "load_results",
    "load_run",
    "rng_for",
    "run",
]  # fmt: skip

_HOMES = {
    name: f"adaptbench.{module}"
    for module, names in {
        "benchmarks.api": "RunsFailed compare run",
        "benchmarks.runs.trained": "RealPrediction TrainedAdapter load_run",
        "datamodules.base": "EpisodicDataModule EvalEpisodes Sampling TrainEpisodes",
        "datamodules.class_task": "ClassDataModule",
        "datamodules.episodes": "EpisodeBatch EpisodeSize ExampleBatch rng_for",
        "datamodules.glyphs": "GlyphsDataModule",
        "datamodules.glyphs_to_omniglot": "GlyphsToOmniglotDataModule",
        "datamodules.image_folder": "ImageFolderDataModule",
        "datamodules.lake_runs": "LakeRunsDataModule",
        "datamodules.omniglot": "OmniglotDataModule",
        "datamodules.omniglot_online": "OmniglotOnlineDataModule",
        "datamodules.sinusoid": "SinusoidDataModule",
        "lit_modules.attention": "Attention",
        "lit_modules.controls": "Average FromScratch NearestCentroid NearestNeighbour Oracle",
        "lit_modules.cross_validated": "ChosenFineTuning",
        "lit_modules.deep_sets": "DeepSets",
        "lit_modules.embedding": "EmbeddingLearner",
        "lit_modules.encoders": "Conv4 MLP StridedConv",
        "lit_modules.episodic": "EpisodicModule StreamModule",
        "lit_modules.fine_tuning": "FineTuning",
        "lit_modules.gaussian_process": "GaussianProcess",
        "lit_modules.hypernetwork": "Hypernetwork",
        "lit_modules.likelihoods": "Categorical Gaussian",
        "lit_modules.maml": "ANIL MAML Reptile",
        "lit_modules.mann": "MANN",
        "lit_modules.mann_lrua": "LRUAMANN",
        "lit_modules.optimization": "Optimization",
        "lit_modules.prototypes": "Prototypes",
        "lit_modules.recurrent": "GRU LSTM",
        "lit_modules.snail": "SNAIL",
        "lit_modules.tcn": "TCN",
        "lit_modules.tnpd": "TNPD",
        "lit_modules.transfer": "TransferModule",
        "datamodules.linear_regression": "LinearRegressionDataModule",
        "lit_modules.bayes": "Bayes",
        "reports.sources.loading": "Results load_results",
    }.items()
    for name in names.split()
}

_LINK = Path(__file__).with_name("benchmarks")
if _LINK.is_file():
    raise ImportError(
        f"Expected {_LINK} to be a link to a folder but got a text file: git has checked out links as text. "
        "Mend it in the checkout with `git config core.symlinks true` and `git checkout -- adaptbench` "
        "(on Windows, turn on Developer Mode first)."
    )


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class or a function
    """Imports what somebody asks for, and only then: the command line must start without torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
