"""The published tables: their columns, canonical order and checks; files that are complete or not there.

Light: never imports torch.
"""
