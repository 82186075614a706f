"""Comparisons over seeds: what `monai-sfda benchmark` runs, its tables and its figures."""
