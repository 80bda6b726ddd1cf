"""Measured drops -> what each layer gets, measured together: a plan that other tools can read.

Needs torch.
"""
