"""Perturbations of a layer's weight, one family a file; numpy only.

Light: never imports torch.
"""
