"""The examples that the zoo is trained and judged on, one dataset a file, and their fixed parts.

Needs torch.
"""
