"""Everything that adapts: encoders, black-box learners and transfer baselines."""

import datamodules.episodes  # noqa: F401 - which lets pytorch_lightning be imported beside any torchvision
