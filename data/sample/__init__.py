"""The sample world: small scenes, drawn and annotated in the layout of Visual Genome."""
