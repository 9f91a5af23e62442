"""Zip archives for tests."""

import zipfile
from io import BytesIO


def zipped(files: dict[str, bytes]) -> bytes:
    """The bytes of an archive of these files."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()
