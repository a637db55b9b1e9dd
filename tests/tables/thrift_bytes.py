"""What Thrift's compact protocol makes of values, for files that no library writes."""


def varint(number: int) -> bytes:
    """An integer as Thrift's compact protocol writes it."""
    number <<= 1
    written = bytearray()
    while number > 127:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes((*written, number))
