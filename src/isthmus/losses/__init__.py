"""Losses as plain functions of tensors; each is one line of a paper."""
