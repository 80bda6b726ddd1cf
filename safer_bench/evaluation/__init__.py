"""Truth and scores -> results -> boards; no I/O but in ``leaderboard`` and for a plot.

Light: never imports torch.
"""
