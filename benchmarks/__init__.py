"""Benchmarks of augfeed against other ways to do the same work; the method is in README.md."""
