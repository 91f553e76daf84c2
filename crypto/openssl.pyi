LAYOUT: str
OLDEST: int
VERSION: str

def use(wanted: bool) -> None: ...
