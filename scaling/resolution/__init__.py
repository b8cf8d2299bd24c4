"""What a trained network reaches and costs at other image sizes.

A fully convolutional network takes images of any size, and its best one need not be the one that
it was trained at. FixRes (Touvron et al., arXiv 1906.06423) explains it by the apparent size of
objects: training crops parts of images and enlarges them, testing shows them whole, so that
networks see larger objects in training and gain from larger test images. A proxy that shows whole
images in training has no such difference, and the gap here says so of the network at hand.
"""
