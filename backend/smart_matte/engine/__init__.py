"""Pure computation: arrays in, arrays out. No files, sockets, processes or settings."""
