"""FuxiCTR's FM."""
