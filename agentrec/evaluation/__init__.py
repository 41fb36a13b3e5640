"""Tasks, runs, results, statistics and reports; knows recommenders only as protocols."""
