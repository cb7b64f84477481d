"""Step 0: a ladder of predictors from the cheapest to the dearest, and whether to train at all."""
