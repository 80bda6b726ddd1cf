"""How much a criterion is worth: its scores spend a budget, and the network that comes of it is measured.

Needs torch.
"""
