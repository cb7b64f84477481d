"""How the classical predictors are fitted: each `fit_x(schema, train, *, seed) -> Predictor`.

The ladder's rungs and the tabular tuner both stand on these.
"""
