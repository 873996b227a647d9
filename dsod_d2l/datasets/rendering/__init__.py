"""Render pictures of a small yellow creature: its model, world and box."""

from .picture import check_objects, check_size, is_whole, render_sample

__all__ = ["check_objects", "check_size", "is_whole", "render_sample"]
