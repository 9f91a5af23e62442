"""An image as the agent sees it: its objects and their feature vectors."""
