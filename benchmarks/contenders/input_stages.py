"""What each stage of augmentation costs: the JPEG pipeline with it, beside the pipeline without.

python input_stages.py --data_dir=DIR

Prints stage -> milliseconds of processor time a picture. A busy machine disturbs
processor time less than speed, and all stages are timed in one process.
"""

import argparse
import dataclasses
import json

from input_ours import BATCH, JPEG, batches, input, runtime
from timing import timed

STAGES = {
    "crop, mirror": {},
    "colour jitter 0.4, 0.4, 0.4": {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4},
    "hue 0.1": {"hue": 0.1},
    "grey 0.2": {"grey": 0.2},
    "lighting 0.1": {"lighting": 0.1},
    "random erasing 0.25": {"erasing": 0.25},
    "cutout 56": {"cutout": 56},
    "RandAugment 2, 9": {"policy": "randaugment"},
    "AutoAugment": {"policy": "autoaugment_imagenet"},
    "TrivialAugment": {"policy": "trivialaugment"},
    "AugMix": {"policy": "augmix"},
    "mixup 0.2": {"mixup": 0.2},
    "CutMix 1.0": {"cutmix": 1.0},
}


def main(data_dir: str) -> None:
    runtime.configure()
    manifest = input.Manifest.load(data_dir)
    augmentations = {"crop": dataclasses.replace(JPEG, flip=False)}
    for name, fields in STAGES.items():
        augmentations[name] = dataclasses.replace(JPEG, **fields)
    found = {}
    for name, augmentation in augmentations.items():
        speed = timed(batches(manifest, augmentation=augmentation), BATCH, seconds=4)
        found[name] = speed["processor_ms"]
    print(json.dumps(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data_dir", required=True)
    main(**vars(parser.parse_args()))
