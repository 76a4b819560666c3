"""Evaluation: the judge, and what is measured with it."""
