"""Run folders -> how sensitive each layer is, and how surely.

Light: never imports torch.
"""
