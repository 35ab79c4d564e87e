"""`make bench`: ratios from one run, measured in turns, the median of several rounds."""
