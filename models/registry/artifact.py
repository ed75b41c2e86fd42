"""Names in a registered model that both the code that writes it and the code that it carries need."""

from __future__ import annotations

# The version's folder among the model's artifacts.
FOLDER = "version"
# The input column with the text.
TEXT = "text"
