"""Building blocks, each with its shapes in the docstring."""
