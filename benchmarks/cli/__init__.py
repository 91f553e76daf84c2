"""`qianwan bench`: the commands of the benchmarks."""
