"""OpenCV with one thread a call.

With more, its filters cut images into stripes whose edges round differently: one phantom in twenty then differs in a
pixel from machine to machine. Images are loaded by several threads at once anyway.
"""

import cv2

cv2.setNumThreads(1)

__all__ = ["cv2"]
