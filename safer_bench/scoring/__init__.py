"""Networks and criteria -> scores, and the folder of a submission.

Needs torch.
"""
