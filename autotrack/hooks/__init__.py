"""Patching: knows no machine learning and no SQL."""
