"""Tasks: what a task is and where its data comes from."""

from datamodules.torchvision_operators import let_torchvision_be_imported

let_torchvision_be_imported()
