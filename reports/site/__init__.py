"""The leaderboard as a static site: standings, pages of models and tasks, head to head, files."""
