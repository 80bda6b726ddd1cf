"""Passes over the model that several criteria share; no criterion is here.

Needs torch.
"""
