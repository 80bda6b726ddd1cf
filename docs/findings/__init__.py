"""What the published tables show: one finding a file, one page, made anew by ``python -m docs.findings``."""
