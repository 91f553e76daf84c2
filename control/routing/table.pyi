LAYOUT: str
