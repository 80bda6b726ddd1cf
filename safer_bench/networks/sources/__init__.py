"""Networks and data of other people, one source a file, each found by its prefix: ``timm:``, ``imagefolder:`` ...

Needs torch.
"""
