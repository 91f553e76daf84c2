"""`LAYOUT = layout()` in every C module: the marks of the shared files it was built from, compared by `same_build`."""


cdef extern from *:
    const char* QW_LAYOUT  # of setup.py: "file=mark file=mark ..."


cdef inline str layout():
    return QW_LAYOUT.decode()
