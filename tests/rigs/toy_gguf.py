"""A GGUF file of a Llama of two small layers with random weights and a byte-level vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_PLAIN = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_BYTES = [chr(code) for code in _PLAIN] + [chr(256 + index) for index in range(256 - len(_PLAIN))]
MERGES = ["t h", "th e", "Ġ the"]
TOKENS = [*MARKS, *_BYTES, "th", "the", "Ġthe"]

WIDTH, INNER, HEADS, KV_HEADS, LAYERS, CONTEXT = 64, 128, 4, 2, 2, 256


def write_gguf(
    path: Path,
    *,
    architecture: str = "llama",
    pre: str = "smollm",
    output: bool = False,
    without_key: bool = False,
    without_tensor: bool = False,
) -> Path:
    """Write it to `path`; the switches make it one that can't be converted, or give it an output matrix of its own."""
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(LAYERS)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    if not without_key:
        writer.add_context_length(CONTEXT)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(MARKS) + [1] * (len(TOKENS) - len(MARKS)))
    writer.add_token_merges(MERGES)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, weights in _tensors(output).items():
        if not (without_tensor and name == "blk.1.ffn_down"):
            writer.add_tensor(f"{name}.weight", weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(output: bool) -> dict[str, Floats]:
    kv_width = WIDTH // HEADS * KV_HEADS
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(TOKENS), WIDTH), "output_norm": (WIDTH,)}
    if output:
        shapes["output"] = (len(TOKENS), WIDTH)
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        shapes |= {f"{block}.attn_norm": (WIDTH,), f"{block}.ffn_norm": (WIDTH,)}
        shapes |= {f"{block}.attn_q": (WIDTH, WIDTH), f"{block}.attn_k": (kv_width, WIDTH), f"{block}.attn_v": (kv_width, WIDTH)}
        shapes |= {f"{block}.attn_output": (WIDTH, WIDTH), f"{block}.ffn_down": (WIDTH, INNER)}
        shapes |= {f"{block}.ffn_gate": (INNER, WIDTH), f"{block}.ffn_up": (INNER, WIDTH)}
    dice = np.random.default_rng(7)
    return {name: _weights(dice, shape) for name, shape in shapes.items()}


def _weights(dice: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    if len(shape) == 1:
        return dice.uniform(0.5, 1.5, shape).astype(np.float32)
    weights: Floats = (dice.standard_normal(shape) * 2 / np.sqrt(shape[1])).astype(np.float32)
    return weights
