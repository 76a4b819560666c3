"""Models that draw one value after the other, each given all before it."""
