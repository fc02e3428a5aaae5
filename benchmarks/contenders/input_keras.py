"""Keras' `image_dataset_from_directory`, shuffled, with augmentation a batch at a time.

  python input_keras.py --folder=DIR --what=boxes|layers

Every picture is decoded whole and resized to 256x256 (Keras' own default), and batches are
augmented by `map`. `boxes`: random resized crop by `tf.image.crop_and_resize` to 224 of boxes of
0.08 to 1 of the area and a ratio of 3/4 to 4/3, and mirror. `layers`: RandomCrop to 224 and
RandomFlip, which is less than a random resized crop.
"""

import argparse
import json

import keras
import tensorflow as tf
from timing import timed

BATCH, SIZE, WHOLE = 64, 224, 256


def boxes(images):
    """Random resized crop of one random box a picture, and mirror."""
    count = tf.shape(images)[0]
    area = tf.random.uniform([count], 0.08, 1.0)
    ratio = tf.exp(tf.random.uniform([count], tf.math.log(3 / 4), tf.math.log(4 / 3)))
    height, width = tf.minimum(tf.sqrt(area / ratio), 1), tf.minimum(tf.sqrt(area * ratio), 1)
    top = tf.random.uniform([count]) * (1 - height)
    left = tf.random.uniform([count]) * (1 - width)
    corners = tf.stack([top, left, top + height, left + width], axis=1)
    images = tf.image.crop_and_resize(images, corners, tf.range(count), [SIZE, SIZE])
    return tf.image.random_flip_left_right(images)


def main(folder: str, what: str) -> None:
    dataset = keras.utils.image_dataset_from_directory(
        folder, image_size=(WHOLE, WHOLE), batch_size=BATCH, verbose=False
    )
    layers = keras.Sequential(
        [keras.layers.RandomCrop(SIZE, SIZE), keras.layers.RandomFlip("horizontal")]
    )
    augment = {"boxes": boxes, "layers": lambda images: layers(images, training=True)}[what]
    dataset = dataset.repeat().map(
        lambda images, labels: (augment(images), labels), num_parallel_calls=tf.data.AUTOTUNE
    )
    print(json.dumps(timed(dataset.prefetch(tf.data.AUTOTUNE), BATCH)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--what", choices=("boxes", "layers"), required=True)
    main(**vars(parser.parse_args()))
