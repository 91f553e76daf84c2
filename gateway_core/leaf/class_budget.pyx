from libc.stdint cimport uint64_t

from cmodules cimport layout
from gateway_core.leaf.shared_buf cimport DECISION, HIGH, MUST, NORMAL

LAYOUT = layout()


cdef inline double _most(double per_s) noexcept nogil:
    """At once: a second's worth, and one at least."""
    return per_s if per_s > 1.0 else 1.0


cdef inline double _filled(double tokens, double per_s, double passed_s) noexcept nogil:
    return min(tokens + passed_s * per_s, _most(per_s))


cdef void class_budget_set(ClassBudget* b, const ClassRates* rates, uint64_t now_ns) noexcept nogil:
    if b.filled_ns and b.rates.normal == rates.normal and b.rates.high == rates.high and b.rates.notices == rates.notices:
        return
    b.rates = rates[0]
    b.high = _most(rates.high)
    b.normal = b.borrowed = _most(rates.normal)
    b.decisions = b.notices = _most(rates.notices)
    b.filled_ns = now_ns


cdef void _fill(ClassBudget* b, uint64_t now_ns) noexcept nogil:
    cdef double passed = <double>(now_ns - b.filled_ns) / 1e9
    b.high = _filled(b.high, b.rates.high, passed)
    b.borrowed = _filled(b.borrowed, b.rates.normal, passed)
    b.normal = _filled(b.normal, b.rates.normal, passed)
    b.decisions = _filled(b.decisions, b.rates.notices, passed)
    b.notices = _filled(b.notices, b.rates.notices, passed)
    b.filled_ns = now_ns


cdef inline bint _take(double* tokens, double per_s) noexcept nogil:
    if per_s == 0:
        return True
    if tokens[0] < 1.0:
        return False
    tokens[0] -= 1.0
    return True


cdef bint class_budget_take(ClassBudget* b, int cls, uint64_t now_ns) noexcept nogil:
    if cls == MUST:
        return True
    _fill(b, now_ns)
    if cls == HIGH:
        if _take(&b.high, b.rates.high):
            return True
        if not _take(&b.borrowed, b.rates.normal):
            return False
        b.normal -= 1.0
        return True
    if cls == NORMAL:
        return _take(&b.normal, b.rates.normal)
    return _take(&b.decisions if cls == DECISION else &b.notices, b.rates.notices)
