"""Tables of differences: gains per doubling, memorising, and one learner against each other one."""
