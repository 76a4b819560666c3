"""Models that carry images to Gaussian codes and back without loss, so that their likelihood is exact."""
