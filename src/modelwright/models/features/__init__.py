"""Columns as numbers: what the classical predictors learn from and how it is stored."""
