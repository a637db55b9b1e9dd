"""Activations that were computed elsewhere: a table with a row for each image stands for a network."""
