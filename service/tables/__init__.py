"""Tables that users bring: one reader for manifests, concept sets, annotations and targets."""
