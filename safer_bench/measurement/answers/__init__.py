"""What a network answers with a weight replaced: canonical, by replay, settled; knows no probe and no run.

Needs torch.
"""
