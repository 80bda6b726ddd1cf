"""A plan as other tools read it: one file a tool.

Light: never imports torch.
"""
