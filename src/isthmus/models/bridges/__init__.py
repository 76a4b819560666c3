"""Bridges: maps between the latent spaces of models that were trained apart."""
