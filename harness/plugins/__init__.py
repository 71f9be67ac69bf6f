"""What a plugin is, the verbs it may have, and names -> classes."""
