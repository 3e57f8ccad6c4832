from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.engines.smollm import convert
from realtime.errors import EngineError
from tests.rigs.toy_gguf import CONTEXT, MARKS, TOKENS, write_gguf

Array = NDArray[Any]

INT8_NOISE = 0.06
"""Nats that rounding the weights to int8 moves a log-probability by, on average: 0.04 here, against 0.08 for a wrong rotary base and 1.2
for rotated pairs that are not neighbours."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("smollm")
    convert(write_gguf(place / "toy.gguf"), place / "toy")
    return place / "toy"


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def log_probs(folder: Path, tokens: list[str]) -> Array:
    import ctranslate2

    generator = ctranslate2.Generator(str(folder), compute_type="float32", intra_threads=1)
    probabilities: Array = np.array(generator.forward_batch([tokens], return_log_probs=True))[0]
    return probabilities


def test_the_folder_holds_all_that_a_model_needs(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.bin", "tokenizer.json", "vocabulary.json"]


def test_the_settings_are_those_of_the_file(folder: Path) -> None:
    settings = json.loads((folder / "config.json").read_bytes())
    assert settings["context_length"] == CONTEXT
    assert settings["layer_norm_epsilon"] == pytest.approx(1e-5)
    assert (settings["bos_token"], settings["eos_token"], settings["unk_token"]) == ("<|im_start|>", "<|im_end|>", "<|endoftext|>")


def test_the_vocabulary_is_in_the_order_of_the_file(folder: Path) -> None:
    assert json.loads((folder / "vocabulary.json").read_bytes()) == TOKENS


def test_text_survives_the_tokenizer(tokenizer: Any) -> None:
    text = "Hello, 12 wörlds 🎉\n  twice"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_every_digit_is_a_token(tokenizer: Any) -> None:
    assert tokenizer.encode("2024").tokens == ["2", "0", "2", "4"]


def test_the_merges_of_the_file_are_used(tokenizer: Any) -> None:
    assert tokenizer.encode(" the").tokens == ["Ġthe"]


def test_marks_are_special(tokenizer: Any) -> None:
    assert [token for token in tokenizer.encode("<|im_start|>a<|im_end|>").tokens if token in MARKS] == ["<|im_start|>", "<|im_end|>"]


def test_the_network_computes_what_a_llama_computes(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "toy.gguf")
    convert(path, tmp_path / "toy")
    tokens = ["a", "b", "c", "Ġthe", "d"]
    expected = reference(path, [TOKENS.index(token) for token in tokens])
    assert np.abs(log_probs(tmp_path / "toy", tokens) - expected).mean() < INT8_NOISE


def test_an_output_matrix_of_its_own_is_used(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "toy.gguf", output=True)
    convert(path, tmp_path / "toy")
    expected = reference(path, [5, 6, 7])
    assert np.abs(log_probs(tmp_path / "toy", TOKENS[5:8]) - expected).mean() < INT8_NOISE


def reference(path: Path, ids: list[int]) -> Array:
    """Llama in numpy, with the neighbouring pairs of q and k that llama.cpp's converter leaves; log-probabilities of every position."""
    import gguf

    weights = {tensor.name.removesuffix(".weight"): np.array(tensor.data) for tensor in gguf.GGUFReader(path).tensors}
    heads, kv_heads, base, count = 4, 2, 100_000.0, len(ids)

    def norm(x: Array, name: str) -> Array:
        normed: Array = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weights[name]
        return normed

    def rotate(x: Array) -> Array:
        size = x.shape[-1]
        angle = np.arange(count)[:, None, None] * base ** (-np.arange(0, size, 2) / size)
        even, odd = x[..., 0::2], x[..., 1::2]
        turned = (even * np.cos(angle) - odd * np.sin(angle), even * np.sin(angle) + odd * np.cos(angle))
        return np.stack(turned, -1).reshape(x.shape)

    def attend(x: Array, block: str) -> Array:
        q, k, v = (x @ weights[f"{block}.attn_{which}"].T for which in "qkv")
        q = rotate(q.reshape(count, heads, -1))
        k, v = (np.repeat(part.reshape(count, kv_heads, -1), heads // kv_heads, 1) for part in (k, v))
        scores = np.einsum("qhd,khd->hqk", q, rotate(k)) / np.sqrt(q.shape[-1])
        scores = np.where(np.tril(np.ones((count, count), bool)), scores, -np.inf)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = np.einsum("hqk,khd->qhd", shares / shares.sum(-1, keepdims=True), v)
        out: Array = mixed.reshape(count, -1) @ weights[f"{block}.attn_output"].T
        return out

    x = weights["token_embd"][ids]
    for block in ("blk.0", "blk.1"):
        x = x + attend(norm(x, f"{block}.attn_norm"), block)
        inner = norm(x, f"{block}.ffn_norm")
        gate = inner @ weights[f"{block}.ffn_gate"].T
        x = x + (gate / (1 + np.exp(-gate)) * (inner @ weights[f"{block}.ffn_up"].T)) @ weights[f"{block}.ffn_down"].T
    logits = norm(x, "output_norm") @ weights.get("output", weights["token_embd"]).T
    expected: Array = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "qwen2"}, "general.architecture = 'qwen2'; only 'llama'"),
        ({"pre": "llama-bpe"}, "tokenizer.ggml.pre = 'llama-bpe'; only 'smollm'"),
        ({"without_key": True}, "lacks llama.context_length"),
        ({"without_tensor": True}, "lacks the tensor blk.1.ffn_down.weight"),
    ],
)
def test_a_file_of_another_kind_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=message):
        convert(write_gguf(tmp_path / "toy.gguf", **changes), tmp_path / "toy")
    assert not (tmp_path / "toy").exists()


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "toy.gguf").write_bytes(b"nothing of the kind, but long enough to be read")
    with pytest.raises(EngineError, match=r"toy\.gguf is not a GGUF file"):
        convert(tmp_path / "toy.gguf", tmp_path / "toy")
