"""Measures the truth: the accuracy that a network loses when one layer is perturbed.

Needs torch.
"""
