def understood(text: str, *, no_speech: float | None, confidence: float | None, speech_ms: int | None, audio_ms: int) -> str:
    return text
