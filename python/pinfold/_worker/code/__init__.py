"""The candidate's source: its file, its module, and where its imports look."""
