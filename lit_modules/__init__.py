"""Everything that adapts: encoders, black-box learners and transfer baselines."""

import datamodules.episodes  # noqa: F401 - before pytorch_lightning, see datamodules/torchvision_operators.py
