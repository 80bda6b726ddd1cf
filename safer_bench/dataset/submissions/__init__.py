"""Folders of submissions: read, checked, gathered, and which of them were computed again.

Light: never imports torch.
"""
