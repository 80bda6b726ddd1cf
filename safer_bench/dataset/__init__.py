"""The published dataset: a folder of Parquet files with a card and a manifest.

Light: never imports torch.
"""
