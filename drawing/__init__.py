"""Pictures of scene graphs, of photos with boxes, and of a word's neighbourhood."""
