"""Criteria, which score layers without measuring them, one family a file, and the controls they must beat.

Nothing here may import the measured truth or what evaluates it: a criterion has no code path to the answers.

Needs torch.
"""
