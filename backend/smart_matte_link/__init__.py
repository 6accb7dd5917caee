"""The wire protocol of Smart Matte and its client; needs nothing but Python 3.9."""
