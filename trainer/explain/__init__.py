"""The graph of a model's computation on one batch: recorded, marked and, if large, folded."""
