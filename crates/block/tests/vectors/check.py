#!/usr/bin/env python3
"""Reads blocks.json, beside this file, by FORMAT.md alone: an independent decoder.

Every block has to open to the payload that stands beside it, its parity has to be what the format
says, and it must not open when it is changed or taken for another block. Prints what was checked;
exit 0 if all of it held, 1 if not, 77 if a module is missing (Debian: python3-xxhash
python3-cryptography python3-lz4 python3-zstandard).
"""

import hashlib
import hmac
import json
import pathlib
import struct
import sys

try:
    import lz4.block
    import xxhash
    import zstandard
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

CODECS = ["none", "lz4", "zstd", "zstd with a dictionary"]
SEALS = [None, AESGCM, ChaCha20Poly1305]
NONE, SEC_DED, XOR, REED_SOLOMON = range(4)


class Refused(Exception):
    """The block does not open."""


def require(holds, why):
    if not holds:
        raise Refused(why)


def xxh3(data):
    return xxhash.xxh3_64_intdigest(data)


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C = crc32c_table()
assert xxh3(b"") == 0x2D06800538D394C2


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def hkdf(ikm, salt, info, length):
    prk = hmac.new(salt, ikm, hashlib.sha256).digest()
    out, block = b"", b""
    while len(out) < length:
        block = hmac.new(prk, block + info + bytes([len(out) // 32 + 1]), hashlib.sha256).digest()
        out += block
    return out[:length]


def file_key(key, uid):
    """The key of the file, and the key check of its header."""
    root_key, salt = bytes.fromhex(key["root_key"]), bytes.fromhex(key["salt"])
    owner = bytes.fromhex(key["db_id"]) + bytes([key["file_kind"]]) + uid
    derive = lambda use, length: hkdf(root_key, salt, b"stratal v1 " + use + owner, length)
    return derive(b"aead", 32), derive(b"check", 16)


class Header:
    def __init__(self, stored):
        require(len(stored) >= 24, "too short")
        (self.magic, self.version, self.kind, self.codec, self.flags, self.data, self.shards,
         self.stored_len, self.plain_len) = struct.unpack_from("<2sBBBBBBII", stored)
        require(self.magic == b"SB" and self.version == 1, "not a block")
        require(self.codec < 4 and self.flags < 32 and self.flags >> 1 & 3 < 3, "unsupported")
        self.is_crc = self.flags & 1
        self.seal = SEALS[self.flags >> 1 & 3]
        self.parity = self.flags >> 3 & 3
        if self.parity in (NONE, SEC_DED):
            require((self.data, self.shards) == (0, 0), "shards without a use")
        elif self.parity == XOR:
            require(1 <= self.data <= 31 and self.shards == 1, "shards of XOR")
        else:
            require(self.data and self.shards and self.data + self.shards <= 32, "shards")
            require(not self.is_crc, "Reed-Solomon without a 64-bit check")
        self.len = 16 + (8 if self.codec == 3 else 0)
        require(len(stored) >= self.len, "too short")
        self.fixed = stored[:16]
        self.dictionary = struct.unpack_from("<Q", stored, 16)[0] if self.codec == 3 else 0
        self.tag_len = 16 if self.seal else 0
        require(self.stored_len >= self.tag_len, "no room for the tag")
        require(self.codec or self.stored_len == self.plain_len + self.tag_len, "lengths")
        shard = -(-self.stored_len // self.data) if self.data else 0
        self.shard_len = -(-shard // 64) * 64


def open_block(stored, uid, ordinal, kind, key, dictionary):
    header = Header(stored)
    check_at = header.len + header.stored_len
    payload = stored[header.len:check_at]
    require(len(stored) >= check_at + 8, "too short")
    (check,) = struct.unpack_from("<Q", stored, check_at)
    identity = xxh3(uid + struct.pack("<QB", ordinal, kind))
    covered = stored[:check_at]
    expected = (crc32c(covered) ^ identity & 0xFFFFFFFF) if header.is_crc else xxh3(covered) ^ identity
    require(header.kind == kind and check == expected, "check")
    trailer = stored[check_at + 8:]
    require(trailer == trailer_of(header, payload, check), "trailer")
    if header.seal:
        require(key is not None, "key needed")
        secret, key_check = file_key(key, uid)
        require(key_check.hex() == key["key_check"], "wrong key")
        aad = (header.fixed + struct.pack("<Q", header.dictionary) + bytes.fromhex(key["db_id"])
               + uid + struct.pack("<QB", ordinal, key["file_kind"]))
        nonce = bytes(4) + struct.pack("<Q", ordinal)
        try:
            payload = header.seal(secret).decrypt(nonce, payload, aad)
        except InvalidTag as error:
            raise Refused("seal") from error
    if header.codec == 0:
        plain = payload
    elif header.codec == 1:
        plain = lz4.block.decompress(payload, uncompressed_size=header.plain_len)
    elif header.codec == 2:
        plain = zstandard.ZstdDecompressor().decompress(payload, max_output_size=header.plain_len)
    else:
        require(xxh3(dictionary) == header.dictionary, "another dictionary")
        known = zstandard.ZstdCompressionDict(dictionary)
        reader = zstandard.ZstdDecompressor(dict_data=known)
        plain = reader.decompress(payload, max_output_size=header.plain_len)
    require(len(plain) == header.plain_len, "length of the payload")
    return header, plain


def trailer_of(header, payload, check):
    if header.parity == NONE:
        return b""
    parity = {SEC_DED: sec_ded, XOR: xor, REED_SOLOMON: reed_solomon}[header.parity](header, payload)
    size = header.shard_len
    shards = [payload[i * size:(i + 1) * size] for i in range(header.data)]
    shards += [parity[i * size:(i + 1) * size] for i in range(header.shards)]
    tail = b"".join(struct.pack("<I", crc32c(shard)) for shard in shards)
    tail += header.fixed + struct.pack("<QQ", header.dictionary, check)
    return parity + tail + struct.pack("<I", crc32c(tail))


def padded_shards(header, payload):
    size = header.shard_len
    return [payload[i * size:(i + 1) * size].ljust(size, b"\0") for i in range(header.data)]


COLUMNS = [byte for byte in range(256) if byte.bit_count() == 3]
COLUMNS += [byte for byte in range(256) if byte.bit_count() == 5][:8]


def sec_ded(_, payload):
    parity = bytearray()
    for at in range(0, len(payload), 8):
        word, check = int.from_bytes(payload[at:at + 8], "little"), 0
        for bit, column in enumerate(COLUMNS):
            if word >> bit & 1:
                check ^= column
        parity.append(check)
    return bytes(parity)


def xor(header, payload):
    parity = bytearray(header.shard_len)
    for shard in padded_shards(header, payload):
        parity = bytearray(a ^ b for a, b in zip(parity, shard))
    return bytes(parity)


BASIS = [0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012,
         0x6C98, 0x10D8, 0x6A72, 0xB900, 0xFDB8, 0xFB34, 0xFF38, 0x991E]


def as_polynomial(number):
    out = 0
    for bit, element in enumerate(BASIS):
        if number >> bit & 1:
            out ^= element
    return out


NUMBER_OF = {as_polynomial(number): number for number in range(1 << 16)}
assert len(NUMBER_OF) == 1 << 16


def times(a, b):
    """The product of two polynomials modulo x^16 + x^5 + x^3 + x^2 + 1."""
    out = 0
    while b:
        if b & 1:
            out ^= a
        b >>= 1
        a = a << 1 ^ (0x1002D if a & 0x8000 else 0)
    return out


def inverse(a):
    out, power = 1, a
    for _ in range(15):  # a^(2^16 - 2) = a^2 · a^4 · … · a^(2^15)
        power = times(power, power)
        out = times(out, power)
    return out


assert times(0x1234, inverse(0x1234)) == 1


def lagrange(points, which, at):
    """The value at `at` of the polynomial that is 1 at `points[which]` and 0 at the others."""
    points = [as_polynomial(point) for point in points]
    at, out = as_polynomial(at), 1
    for index, point in enumerate(points):
        if index != which:
            out = times(out, times(at ^ point, inverse(points[which] ^ point)))
    return out


def elements(shard):
    return [as_polynomial(shard[at + j] | shard[at + 32 + j] << 8)
            for at in range(0, len(shard), 64) for j in range(32)]


def shard_of(values):
    numbers = [NUMBER_OF[value] for value in values]
    groups = [numbers[at:at + 32] for at in range(0, len(numbers), 32)]
    return b"".join(bytes(n & 0xFF for n in group) + bytes(n >> 8 for n in group) for group in groups)


def reed_solomon(header, payload):
    q = 1 << (header.shards - 1).bit_length()
    data = [elements(shard) for shard in padded_shards(header, payload)]
    parity = b""
    for j in range(header.shards):
        out = [0] * (header.shard_len // 2)
        for index, shard in enumerate(data):
            first, which = q * (index // q + 1), index % q
            weight = lagrange(range(first, first + q), which, j)
            out = [a ^ times(b, weight) for a, b in zip(out, shard)]
        parity += shard_of(out)
    return parity


def refuses(vector, stored, **changes):
    try:
        open_block(**{**vector, "stored": stored, **changes})
    except Refused:
        return True
    except Exception as error:  # a codec that was given what no check holds for
        return error is not None
    return False


def main():
    path = pathlib.Path(__file__).with_name("blocks.json")
    blocks = json.loads(path.read_text(encoding="utf-8"))["blocks"]
    seen, negatives, failures = {}, 0, 0
    for block in blocks:
        vector = {
            "uid": bytes.fromhex(block["uid"]),
            "ordinal": block["ordinal"],
            "kind": block["kind"],
            "key": block["key"],
            "dictionary": bytes.fromhex(block["dictionary"] or ""),
        }
        stored = bytes.fromhex(block["stored"])
        try:
            header, plain = open_block(stored, **vector)
            require(plain.hex() == block["plain"], "another payload")
        except Refused as error:
            print(f"{block['name']}: {error}")
            failures += 1
            continue
        for what in (CODECS[header.codec], header.seal.__name__ if header.seal else "no seal",
                     "crc32c" if header.is_crc else "xxh3",
                     ["no parity", "SEC-DED", "XOR", "Reed-Solomon"][header.parity]):
            seen[what] = seen.get(what, 0) + 1
        changed = [bytes(stored[:at]) + bytes([stored[at] ^ 1]) + bytes(stored[at + 1:])
                   for at in range(0, len(stored), 7)]
        outcomes = [refuses(vector, each) for each in changed]
        outcomes.append(refuses(vector, stored, ordinal=vector["ordinal"] + 1))
        outcomes.append(refuses(vector, stored, uid=bytes(16)))
        outcomes.append(refuses(vector, stored, kind=vector["kind"] + 1))
        negatives += len(outcomes)
        if not all(outcomes):
            print(f"{block['name']}: opens though it is changed or another")
            failures += 1
    print(f"{len(blocks)} blocks, {failures} failures; {negatives} changed or taken for others")
    print(", ".join(f"{what} {count}" for what, count in seen.items()))
    return 1 if failures or not blocks else 0


if __name__ == "__main__":
    sys.exit(main())
