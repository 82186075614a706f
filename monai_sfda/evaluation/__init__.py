"""Scores of whole volumes, their summaries, figures and the report of a run."""
