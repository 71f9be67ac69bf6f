"""Suite x checkpoint -> rows and scores."""
