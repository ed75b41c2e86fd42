"""The columns of a version's reference sample beyond its inputs, `score` and `label`. Older versions lack them."""

# When the row's subject was scored (µs), its type, and the account that made it, as far as known.
AT, TYPE_ID, ACCOUNT = "about.at", "about.type", "about.account"
# What is known of the subject's content: before the names of categories, numbers, and lists of words.
CATEGORY, NUMBER, WORDS = "about.category.", "about.number.", "about.words."
