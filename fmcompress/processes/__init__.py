"""Several processes that do one job: which this is, and what they tell each other."""
