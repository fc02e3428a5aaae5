"""What every HTML page of the project is made of; one file each, that needs nothing else."""

import base64
import html
from collections.abc import Iterable

from resnet_tf.errors import plain


def document(title: str, style: str, parts: Iterable[str]) -> str:
    """A whole page: `title` is text, `style` CSS and `parts` HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{style}</style></head>\n"
        f"<body>\n<h1>{escaped(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def escaped(text: object) -> str:
    """Text that no tag, quote or control character gets out of."""
    return html.escape(plain(text))


def inline(encoded: bytes) -> str:
    """The address of a PNG or JPEG file that stands in the page itself."""
    kind = "png" if encoded.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"
