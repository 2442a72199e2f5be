"""What a report is made from: folders of runs, and bundles."""
