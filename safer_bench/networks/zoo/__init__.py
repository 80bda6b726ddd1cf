"""The zoo: one family of networks a file.

Needs torch.
"""
