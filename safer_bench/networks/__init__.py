"""A trained network: its layers, its images, its weights, and how it is found by name.

Needs torch.
"""
