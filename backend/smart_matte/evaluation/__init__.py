"""Measuring matting against known truth: errors, data sets, rough selections, benchmark runs."""
