"""The layouts of published data sets, and of a folder of DICOM files: one module each, read as manifests.

`catalogue` lists them, `reading` reads one, `writing` writes the manifest.
"""
