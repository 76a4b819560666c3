"""Translation of images between domains."""
