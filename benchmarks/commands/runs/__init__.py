"""Commands about a folder of runs: what it holds, and what is wrong with it."""
