"""Judge: how much each label is worth, against chance, other images and known findings."""
