"""Autoencoders: images to codes and back."""
