"""From JSON figures to one self-contained HTML page: `plots` draws SVG, `page` writes the document."""
