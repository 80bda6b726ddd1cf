"""Where units of work are measured, one way a file: in this process, in spawned ones, on a Ray cluster.

Needs torch.
"""
