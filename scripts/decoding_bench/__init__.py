"""The parts of `scripts/bench_decoding.py`."""
