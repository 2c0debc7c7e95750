"""Segmentation and detection on images of shapes that are drawn here, whose truth is known."""
