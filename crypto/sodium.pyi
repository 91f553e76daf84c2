HAS_AES256GCM: bool
LAYOUT: dict[str, tuple[int, ...]]
NEEDS: str
