"""What a picture's header says, read without decoding a pixel.

A decoder allocates what the header asks for, so size is looked at first; and what a network
would see wrongly (turned by EXIF, four inks, 16 bits) is told apart here.

JPEG: ITU-T T.81, annex B; EXIF 2.32, section 4.6. PNG: W3C PNG, sections 5 and 11.
"""

import dataclasses
import struct

# A square of 9,459 pixels a side: what Pillow warns at, and far beyond any training picture.
MAX_PIXELS = 89_478_485

_PNG = b"\x89PNG\r\n\x1a\n"
_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # JPEG markers without a length
_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 … SOF15
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
_SIGNATURES = (
    (b"GIF8", "GIF"), (b"BM", "BMP"), (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"),
    (b"\xff\x0a", "JPEG XL"), (b"\0\0\0\x0cJXL ", "JPEG XL"), (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"%PDF", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\x1f\x8b", "gzip"), (b"<svg", "SVG"),
    (b"<?xml", "XML"), (b"<!DOCTYPE", "HTML"), (b"<html", "HTML"),
)  # fmt: skip
_BRANDS = {b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC", b"mif1": "HEIC", b"msf1": "HEIC",
           b"avif": "AVIF", b"avis": "AVIF"}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Header:
    """A JPEG's or PNG's header.

    Attributes:
      format: "jpeg" or "png".
      height, width: in pixels, as stored, not as turned by EXIF.
      channels: components as stored: 1 grey, 2 grey with alpha, 3 colour (a palette, too),
        4 colour with alpha (PNG) or four inks (JPEG).
      bits: of a sample: 8, or 1, 2, 4, 12, 16.
      orientation: EXIF's, 1 to 8; 1 where there is none.
      trailing: bytes after the picture's end.
      palette: whether a PNG's samples are numbers of colours in a list.
    """

    format: str
    height: int
    width: int
    channels: int
    bits: int = 8
    orientation: int = 1
    trailing: int = 0
    palette: bool = False

    @property
    def alpha(self) -> bool:
        """Whether the last channel is transparency."""
        return self.format == "png" and self.channels in (2, 4)


class Unusable(ValueError):
    """Why no decoder could, or should, make a picture of some bytes.

    Attributes:
      kind: "empty-picture", "other-format", "damaged-picture" or "too-large".
    """

    def __init__(self, kind: str, what: str):
        super().__init__(what)
        self.kind = kind


def format_of(encoded: bytes) -> str:
    """Name of the format by the first bytes: "jpeg", "png", or what else it looks like."""
    if encoded.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if encoded.startswith(_PNG):
        return "png"
    if encoded[:4] == b"RIFF" and encoded[8:12] == b"WEBP":
        return "WebP"
    if encoded[4:8] == b"ftyp":
        return _BRANDS.get(encoded[8:12], "MP4")
    for signature, name in _SIGNATURES:
        if encoded.startswith(signature):
            return name
    if not encoded:
        return "empty"
    try:
        text = encoded[:512].decode()
    except UnicodeDecodeError as error:
        text = "" if error.start < len(encoded[:512]) - 3 else encoded[: error.start].decode()
    return "text" if text and (text.isprintable() or not set(text) & _CONTROLS) else "unknown"


_CONTROLS = {chr(code) for code in range(32)} - set("\t\n\r\f")


def inspect(encoded: bytes, max_pixels: int | None = None) -> Header:
    """Reads the header of a whole JPEG or PNG.

    Args:
      encoded: the file's bytes.
      max_pixels: height times width above which a picture is refused, cut off or not; None
        (the default) takes any.

    Raises:
      Unusable: (a ValueError) says why no decoder could make a picture of it: another format,
        a broken header, an end that is missing, too large.
    """
    kind = format_of(encoded)
    if kind == "empty":
        raise Unusable("empty-picture", "it is empty")
    if kind == "unknown":
        raise Unusable("other-format", f"it is neither JPEG nor PNG, it starts {encoded[:8]!r}")
    if kind not in ("jpeg", "png"):
        raise Unusable("other-format", f"it is neither JPEG nor PNG but {kind}")
    try:
        return (_jpeg if kind == "jpeg" else _png)(encoded, max_pixels)
    except (struct.error, IndexError) as error:
        raise _damaged(f"its {kind.upper()} header is cut off") from error


def _damaged(what: str) -> Unusable:
    return Unusable("damaged-picture", what)


def _check_size(height: int, width: int, max_pixels: int | None) -> None:
    if height < 1 or width < 1:
        raise _damaged(f"its size is {height}x{width}")
    if max_pixels is not None and height * width > max_pixels:
        raise Unusable("too-large", f"it has {height}x{width} pixels, more than {max_pixels:,}")


def _jpeg(data: bytes, max_pixels: int | None) -> Header:
    position, frame, orientation = 2, None, 1
    while True:
        if data[position] != 0xFF:
            raise _damaged(f"its JPEG header is damaged at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        if marker == 0xD9:
            raise _damaged("it has no picture data")
        length = struct.unpack_from(">H", data, position + 2)[0]
        if marker in _FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, position + 4)
            _check_size(height, width, max_pixels)
            frame = height, width, channels, bits
        elif marker == 0xE1 and data.startswith(b"Exif\0\0", position + 4):
            orientation = _orientation(data[position + 10 : position + 2 + length])
        elif marker == 0xDA:
            break
        position += 2 + length
    if frame is None:
        raise _damaged("its JPEG header has no size")
    end = data.rfind(b"\xff\xd9", position)
    if end < 0:
        raise _damaged("it is cut off: the end of the JPEG is missing")
    return Header("jpeg", *frame, orientation=orientation, trailing=len(data) - end - 2)


def _png(data: bytes, max_pixels: int | None) -> Header:
    width, height, bits, colours = struct.unpack_from(">IIBB", data, 16)
    if data[12:16] != b"IHDR" or colours not in _PNG_CHANNELS:
        raise _damaged("its PNG header is damaged")
    _check_size(height, width, max_pixels)
    position, orientation = len(_PNG), 1
    while True:
        if position + 12 > len(data):
            raise _damaged("it is cut off: the end of the PNG is missing")
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"eXIf":
            orientation = _orientation(data[position + 8 : position + 8 + length])
        position += 12 + length
        if kind == b"IEND" and position <= len(data):
            break
    return Header(
        "png", height, width, _PNG_CHANNELS[colours], 8 if colours == 3 else bits,
        orientation, len(data) - position, palette=colours == 3,
    )  # fmt: skip


def _orientation(exif: bytes) -> int:
    """Tag 274 of the first directory; 1 where EXIF is damaged, as viewers take it."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        start = struct.unpack_from(order + "I", exif, 4)[0]
        for i in range(struct.unpack_from(order + "H", exif, start)[0]):
            tag, kind, _, value = struct.unpack_from(order + "HHIH", exif, start + 2 + 12 * i)
            if tag == 274:
                return value if kind == 3 and 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1
