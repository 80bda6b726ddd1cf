"""The card of a tree, its description for machines, and what is said of the data.

Light: never imports torch.
"""
