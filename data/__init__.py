"""Training poses, the scripts that prepare them, and evaluation datasets."""
