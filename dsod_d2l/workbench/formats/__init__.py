"""Formats: data sets as other programs write them, read and written."""
