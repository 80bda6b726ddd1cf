"""The zoo's recipes at work, and its card.

Needs torch.
"""
