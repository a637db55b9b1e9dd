"""What `mammodissect samples` writes into a folder: file names that the command writes and the service looks for."""

CHECKPOINT = "efficientnet-lite0.pth"
ARCHITECTURE = "efficientnet-lite0/384x240"
DISSECTOR = "phantom-dissector"
PHANTOMS = "phantoms-*/manifest.csv"
"""The manifest of the synthetic mammograms; how many they are, and their seed, is in the folder's name."""

LICENCE = "Apache-2.0"
CONCEPT_SET = "bi-rads"

MODEL_NAME = "general"
DISSECTOR_NAME = "phantom-reader"
PROBE_SET_NAME = "phantoms"
