"""Everything that adapts: encoders, black-box learners and transfer baselines."""
