"""What a code book means: its health as JSON, and one web page with a tree map of prefixes in its items' words."""
