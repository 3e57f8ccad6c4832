def finished(text: str) -> float:
    return 0.0 if text.endswith(("...", ",")) or not text else 1.0
