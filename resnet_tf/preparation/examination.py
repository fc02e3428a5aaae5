"""Whether a picture can be used, and what is odd about it, told from its bytes."""

from collections.abc import Sequence

from resnet_tf import errors
from resnet_tf.errors import UserError
from resnet_tf.input import headers
from resnet_tf.preparation.picture import Picture

_PICTURE_FORMATS = {"HEIC", "AVIF", "WebP", "GIF", "BMP", "TIFF", "JPEG XL", "JPEG 2000", "SVG"}
_COPY_AGAIN = "copy it again from where it came"
_SKIP = "out with --bad_pictures=skip"
_MOST_NAMES = 5

# What is taken although it is odd: what is said of one picture, and of several.
_ODD = {
    "turned": ("is turned by EXIF, which is ignored", "are turned by EXIF, which is ignored"),
    "inks": ("has four inks (CMYK) and is read as RGB", "have four inks (CMYK), read as RGB"),
    "deep": ("has 16 bits a sample, of which 8 are read", "have 16 bits a sample, 8 are read"),
}


class Unusable(Exception):
    """A picture that cannot be used.

    Args:
      filename: of the picture.
      reason: goes on from "the picture ...".
      remedy: what to do about it.
    """

    def __init__(self, filename: str, reason: str, remedy: str):
        super().__init__(filename, reason, remedy)
        self.filename, self.reason, self.remedy = filename, reason, remedy


def read(picture: Picture) -> tuple[bytes, headers.Header]:
    """Its bytes and its header.

    Raises:
      Unusable: for one that cannot be read, is no JPEG or PNG, is cut off, or has more than
        `headers.MAX_PIXELS` pixels.
    """
    try:
        encoded = picture.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        name = picture.filename
        raise Unusable(name, f"cannot be read: {reason}", "see that it can be read") from error
    return encoded, header_of(picture, encoded)


def header_of(picture: Picture, encoded: bytes) -> headers.Header:
    """The header of these bytes of a picture; raises as `read` does."""
    name = picture.filename
    kind = headers.format_of(encoded)
    if kind not in ("jpeg", "png"):
        raise Unusable(name, "is neither JPEG nor PNG", _what_to_do(kind))
    try:
        header = headers.inspect(encoded)
    except ValueError as error:
        raise Unusable(name, f"cannot be decoded: {error}", _COPY_AGAIN) from error
    pixels = header.height * header.width
    if pixels > headers.MAX_PIXELS:
        text = f"has {header.height}x{header.width} pixels, more than {headers.MAX_PIXELS:,}"
        raise Unusable(name, text, "shrink it")
    return header


def undecodable(picture: Picture) -> Unusable:
    """For a picture whose header is sound, and that no decoder takes."""
    return Unusable(picture.filename, "cannot be decoded", _COPY_AGAIN)


def _what_to_do(kind: str) -> str:
    if kind in _PICTURE_FORMATS:
        return f"it is {kind}: convert it to JPEG"
    if kind == "empty":
        return f"it is empty: {_COPY_AGAIN}"
    named = {"unknown": "no picture that is known"}.get(kind, kind)
    return f"it is {named}: take it away"


def oddities(header: headers.Header) -> list[str]:
    """Kinds of what is odd about a picture that is taken all the same."""
    found = {
        "turned": header.orientation != 1,
        "inks": header.format == "jpeg" and header.channels == 4,
        "deep": header.bits == 16,
    }
    return [kind for kind, is_so in found.items() if is_so]


def remark(kind: str, names: Sequence[str]) -> str:
    """One line on the pictures of one kind of oddity."""
    one, several = _ODD[kind]
    what = f"1 picture {one}" if len(names) == 1 else f"{len(names):,} pictures {several}"
    return f"{what}: {some(names)}"


def some(names: Sequence[str]) -> str:
    """The first names of many, and how many more there are."""
    shown = ", ".join(errors.plain(name) for name in names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return shown + (f" and {more:,} more" if more > 0 else "")


def refusal(bad: Sequence[Unusable], total: int) -> UserError:
    """One error for all bad pictures; `total` counts them with the good ones."""
    if len(bad) == 1:
        one, remedy = bad[0], f"{bad[0].remedy}, or leave it {_SKIP}"
        return UserError(errors.BAD_DATA, f"the picture {one.reason}", one.filename, remedy)
    return UserError(
        errors.BAD_DATA,
        f"{len(bad):,} of {total:,} pictures cannot be used",
        "see the list",
        f"mend them, or leave them {_SKIP}",
        details=listed(bad),
    )


def listed(bad: Sequence[Unusable]) -> str:
    """The bad pictures as a table."""
    return errors.table([(errors.plain(one.filename), one.reason, one.remedy) for one in bad])
