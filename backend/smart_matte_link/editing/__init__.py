"""What both editors' plug-ins do alike; standard library only, as everything in this package."""
