"""Boards -> one page, Markdown and CSV.

Light: never imports torch.
"""
