from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from hashlib import sha256
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.media import g711

EVERY_SAMPLE = np.arange(65536, dtype=np.uint16).view(np.int16)
EVERY_CODE = bytes(range(256))

Encode = Callable[[NDArray[np.int16]], bytes]
Decode = Callable[[bytes], NDArray[np.int16]]
LAWS = pytest.mark.parametrize(("encode", "decode"), [(g711.encode_ulaw, g711.decode_ulaw), (g711.encode_alaw, g711.decode_alaw)])


@pytest.fixture
def reference() -> ModuleType:
    if sys.version_info >= (3, 13):
        pytest.skip("audioop left Python in 3.13; the golden sums below stand in for it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop
    return audioop


def test_every_mu_law_byte_equals_the_reference(reference: ModuleType) -> None:
    assert g711.encode_ulaw(EVERY_SAMPLE) == reference.lin2ulaw(EVERY_SAMPLE.tobytes(), 2)
    assert g711.decode_ulaw(EVERY_CODE).tobytes() == reference.ulaw2lin(EVERY_CODE, 2)


def test_every_a_law_byte_equals_the_reference(reference: ModuleType) -> None:
    assert g711.encode_alaw(EVERY_SAMPLE) == reference.lin2alaw(EVERY_SAMPLE.tobytes(), 2)
    assert g711.decode_alaw(EVERY_CODE).tobytes() == reference.alaw2lin(EVERY_CODE, 2)


@pytest.mark.parametrize(
    ("encode", "decode", "encoder_sum", "decoder_sum"),
    [
        (
            g711.encode_ulaw,
            g711.decode_ulaw,
            "617fa4850d68d3906597e949f7625fb2fc46db479e29707f33159b3d131721cb",
            "3dab54339e520bb2c924826e3b72a917a2b612e9fd12fc867500f1d983a75827",
        ),
        (
            g711.encode_alaw,
            g711.decode_alaw,
            "f77c76aa923ee25617453f87514828a12896227f82ff383bf3bb53d6ac7c2a0f",
            "e04788d110e58ff8c70c93b8480190d973e3b67876b6119abbaec766cc75c174",
        ),
    ],
)
def test_whole_tables_have_their_golden_sums(encode: Encode, decode: Decode, encoder_sum: str, decoder_sum: str) -> None:
    assert sha256(encode(EVERY_SAMPLE)).hexdigest() == encoder_sum
    assert sha256(decode(EVERY_CODE).astype("<i2").tobytes()).hexdigest() == decoder_sum


def test_mu_law_has_the_values_of_the_recommendation() -> None:
    # G.711 table 2a: the ends of the scale and both zeros, in 14 bits there and 16 here.
    assert g711.decode_ulaw(b"\x80\x00\xff\x7f").tolist() == [8031 * 4, -8031 * 4, 0, 0]
    assert g711.encode_ulaw(np.array([0, 32767, -32768], np.int16)) == b"\xff\x80\x00"


def test_a_law_has_the_values_of_the_recommendation() -> None:
    # G.711 table 1a: the ends of the scale and the two codes nearest to zero, in 13 bits there and 16 here.
    assert g711.decode_alaw(b"\xaa\x2a\xd5\x55").tolist() == [4032 * 8, -4032 * 8, 8, -8]
    assert g711.encode_alaw(np.array([0, 32767, -32768, -1], np.int16)) == b"\xd5\xaa\x2a\x55"


@LAWS
def test_decoding_then_encoding_changes_no_value(encode: Encode, decode: Decode) -> None:
    values = decode(EVERY_CODE)
    np.testing.assert_array_equal(decode(encode(values)), values)


@LAWS
def test_no_audio_is_no_bytes(encode: Encode, decode: Decode) -> None:
    assert encode(np.zeros(0, np.int16)) == b""
    assert decode(b"").shape == (0,)


@LAWS
def test_a_stride_in_the_samples_does_not_matter(encode: Encode, decode: Decode) -> None:
    assert encode(EVERY_SAMPLE[::2]) == encode(EVERY_SAMPLE[::2].copy())
