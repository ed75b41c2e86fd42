"""Names in a registered model that both the code that writes it and the code that it carries need."""

from __future__ import annotations

# The version's folder among the model's artifacts.
FOLDER = "version"
# The folder with the fine-tuned encoder that the version needs, if it needs one.
ENCODERS = "encoders"
# The input column with the text.
TEXT = "text"
