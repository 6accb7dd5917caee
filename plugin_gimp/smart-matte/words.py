"""The plug-in's words in the user's language."""

from smart_matte_link.translation import translator

_ = translator()
