"""Which streams of random numbers each augmentation draws from.

An augmentation owns the hundred streams from its number on (see `Noise`). The numbers say
what a draw means for all time: another number here is another picture for every run.
"""

CROP = 0
FLIP = 100
JITTER = 200
GREY = 300
LIGHTING = 400
AUTOAUGMENT = 500
RANDAUGMENT = 600
TRIVIALAUGMENT = 700
AUGMIX = 800
ERASING = 900
CUTOUT = 1000
MIXING = 1100

PER_AUGMENTATION = 100
