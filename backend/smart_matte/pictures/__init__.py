"""Pictures in and out: files to arrays in their own depth and colour space, and back."""
