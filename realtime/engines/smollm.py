"""One GGUF file of a Llama-shaped model, made into a folder that ctranslate2 and tokenizers can load.

Owns the mapping of names, the hyperparameters and the tokenizer; refuses other architectures and other tokenizers, because it would get
them silently wrong. Everything is read from the file's own metadata (GGUF specification, section "Standardized key-value pairs"). It uses
numpy alone, so that a machine that only ever runs the model needs neither torch nor transformers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from realtime.errors import EngineError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Array = NDArray[Any]

CONTROL_TOKEN = 3
"""The GGUF token type of marks such as `<|im_start|>`, which text must never produce."""


class Shape(Struct, frozen=True, kw_only=True):
    """What the metadata says about the network."""

    layers: int
    heads: int
    kv_heads: int
    rotary_base: float
    norm_epsilon: float
    context: int
    """Tokens of prompt and answer together."""


def convert(gguf_file: Path, folder: Path) -> None:
    """Write `model.bin`, `config.json`, `vocabulary.json` and `tokenizer.json` into `folder`, which must not exist yet.

    Raises `EngineError` when the file is of another kind.
    """
    import gguf  # of the extra `local`; `models` asks for it before it downloads anything

    try:
        reader = gguf.GGUFReader(gguf_file)
    except (ValueError, IndexError) as error:
        raise EngineError("model_unavailable", f"{gguf_file.name} is not a GGUF file: {error}.") from error
    metadata = _Metadata(reader.fields)
    shape = _shape(metadata)
    vocabulary = metadata.value("tokenizer.ggml.tokens")
    tokenizer = _tokenizer(metadata, vocabulary)
    spec = _spec(shape, _Weights(gguf, reader.tensors))
    _configure(spec, shape, metadata, vocabulary)
    folder.mkdir(parents=True)
    spec.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))


class _Metadata:
    """The key-value pairs of the file; a missing one is an `EngineError`."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def value(self, key: str) -> Any:
        if key not in self._fields:
            raise EngineError("model_unavailable", f"The GGUF file lacks {key}.")
        return self._fields[key].contents()

    def expect(self, key: str, allowed: str) -> None:
        if (value := self.value(key)) != allowed:
            raise EngineError("model_unavailable", f"The GGUF file has {key} = {value!r}; only {allowed!r} can be converted.")


class _Weights:
    """The tensors of the file by name, as float32."""

    def __init__(self, gguf: Any, tensors: list[Any]) -> None:
        self._dequantize = gguf.quants.dequantize
        self._tensors = {tensor.name: tensor for tensor in tensors}

    def __call__(self, name: str) -> Array:
        tensor = self._tensors.get(f"{name}.weight")
        if tensor is None:
            raise EngineError("model_unavailable", f"The GGUF file lacks the tensor {name}.weight.")
        weights = self._dequantize(tensor.data, tensor.tensor_type)
        return np.require(weights, np.float32, ["C", "W"])  # what needed no dequantising is the mapped file itself: read-only

    def __contains__(self, name: str) -> bool:
        return f"{name}.weight" in self._tensors


def _shape(metadata: _Metadata) -> Shape:
    metadata.expect("general.architecture", "llama")
    return Shape(
        layers=metadata.value("llama.block_count"),
        heads=metadata.value("llama.attention.head_count"),
        kv_heads=metadata.value("llama.attention.head_count_kv"),
        rotary_base=metadata.value("llama.rope.freq_base"),
        norm_epsilon=metadata.value("llama.attention.layer_norm_rms_epsilon"),
        context=metadata.value("llama.context_length"),
    )


def _spec(shape: Shape, weights: _Weights) -> Any:
    from ctranslate2.specs import TransformerDecoderModelSpec, common_spec

    spec = TransformerDecoderModelSpec.from_config(
        shape.layers,
        shape.heads,
        activation=common_spec.Activation.SWISH,
        pre_norm=True,
        ffn_glu=True,
        rms_norm=True,
        rotary_dim=0,
        rotary_interleave=True,  # llama.cpp's converter permutes the rows of q and k so that pairs are neighbours
        rotary_base=shape.rotary_base,
        num_heads_kv=shape.kv_heads,
    )
    _fill_ends(spec.decoder, weights)
    for index, layer in enumerate(spec.decoder.layer):
        _fill_layer(layer, weights, f"blk.{index}")
    return spec


def _fill_ends(decoder: Any, weights: _Weights) -> None:
    decoder.scale_embeddings = False
    decoder.embeddings.weight = weights("token_embd")
    decoder.layer_norm.gamma = weights("output_norm")
    # Tied embeddings: a GGUF without an output matrix uses the input one.
    decoder.projection.weight = weights("output") if "output" in weights else decoder.embeddings.weight


def _fill_layer(layer: Any, weights: _Weights, block: str) -> None:
    attention, feed_forward = layer.self_attention, layer.ffn
    attention.layer_norm.gamma = weights(f"{block}.attn_norm")
    attention.linear[0].weight = np.concatenate([weights(f"{block}.attn_{which}") for which in "qkv"])
    attention.linear[1].weight = weights(f"{block}.attn_output")
    feed_forward.layer_norm.gamma = weights(f"{block}.ffn_norm")
    feed_forward.linear_0.weight = weights(f"{block}.ffn_gate")
    feed_forward.linear_0_noact.weight = weights(f"{block}.ffn_up")
    feed_forward.linear_1.weight = weights(f"{block}.ffn_down")


def _configure(spec: Any, shape: Shape, metadata: _Metadata, vocabulary: list[str]) -> None:
    spec.register_vocabulary(vocabulary)
    spec.config.bos_token = vocabulary[metadata.value("tokenizer.ggml.bos_token_id")]
    spec.config.eos_token = vocabulary[metadata.value("tokenizer.ggml.eos_token_id")]
    spec.config.unk_token = vocabulary[metadata.value("tokenizer.ggml.unknown_token_id")]
    spec.config.layer_norm_epsilon = shape.norm_epsilon
    spec.config.add_attribute("context_length", shape.context)  # ours: ctranslate2 passes over keys that it does not know
    spec.validate()
    spec.optimize(quantization="int8")


def _tokenizer(metadata: _Metadata, vocabulary: list[str]) -> Tokenizer:
    """Byte-level BPE with every digit on its own, as llama.cpp does for its pre-tokenizer `smollm`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    metadata.expect("tokenizer.ggml.model", "gpt2")
    metadata.expect("tokenizer.ggml.pre", "smollm")
    merges = [tuple(merge.split(" ")) for merge in metadata.value("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(vocabulary)}, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
    tokenizer.decoder = decoders.ByteLevel()
    kinds = metadata.value("tokenizer.ggml.token_type")
    marks = [token for token, kind in zip(vocabulary, kinds, strict=True) if kind == CONTROL_TOKEN]
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    return tokenizer
