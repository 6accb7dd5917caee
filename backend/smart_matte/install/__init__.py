"""Putting the plug-ins, and what they need, where GIMP and Krita look for them."""
