"""Rendered, dressed people in places: those of demo/ and of the open benchmark."""
