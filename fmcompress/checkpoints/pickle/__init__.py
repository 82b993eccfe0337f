"""Reading pickles without running any of them."""
