"""Decisive experiments: for each model, its distinctive mechanism at work, and the ablation that must fail."""
