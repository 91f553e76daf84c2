"""The life of a connection.

              opened  greeted  queued   keyed     claimed   denied   asked  login  parked  resumed  ended    sent    judged  pardoned  released
    FREE      FIRST
    FIRST             HELLO                                                                         CLOSING          DOOMED            FREE
    HELLO                      WAITING  SECURED   RESUMING                                          CLOSING          DOOMED            FREE
    WAITING                             SECURED   RESUMING                                          CLOSING          DOOMED            FREE
    RESUMING                                                SECURED  ASKED                          CLOSING          DOOMED            FREE
    SECURED                                                          ASKED                          CLOSING          DOOMED            FREE
    ASKED                                                   SECURED         LIVE                    CLOSING          DOOMED            FREE
    LIVE                                                                                            CLOSING          DOOMED            FREE
    PARKED                                                                                 LIVE                      DOOMED            FREE
    CLOSING                                                                                                  LINGER  DOOMED            FREE
    LINGER                                                                                                           DOOMED            FREE
    DOOMED                                                                         PARKED                                    CLOSING   FREE

1. An event without a cell in a state does not happen there: `conn_move` answers 0 and nothing changes.
2. One absolute deadline holds from FREE to LIVE; who does not log in leaves within what is left of it.
3. Who has no keys yet ends without a word of QW1; what is told (an HTTP status, a REJECT) is plain and ENDED follows.
4. Who has keys is told by a CLOSE frame, if the transport is still there.
5. A verdict only marks (JUDGED). The end of the tick carries it out by the state it found: a session is ended or, when
   its client may come back, PARKED, and who is to be told is PARDONED until the last words have left.
6. Only the end of the tick, the stop of the loop and an accept that failed release.
"""

from cmodules cimport layout
from frame.constants cimport CLOSE_AUTH_TIMEOUT, CLOSE_IDLE_TIMEOUT
from gateway_core.leaf.stats cimport R_AUTH_TIMEOUT, R_CLOSE_STALLED, R_IDLE, R_PARK_OVER

LAYOUT = layout()

STATE_NAMES = "free first hello waiting secured asked live closing linger doomed resuming parked".split()
EVENT_NAMES = "opened greeted queued keyed claimed denied asked login parked resumed ended sent judged pardoned released".split()

LIFE = {
    FREE: {E_OPENED: FIRST},
    FIRST: {E_GREETED: HELLO, E_ENDED: CLOSING, E_JUDGED: DOOMED, E_RELEASED: FREE},
    HELLO: {E_QUEUED: WAITING, E_KEYED: SECURED, E_CLAIMED: RESUMING, E_ENDED: CLOSING, E_JUDGED: DOOMED, E_RELEASED: FREE},
    WAITING: {E_KEYED: SECURED, E_CLAIMED: RESUMING, E_ENDED: CLOSING, E_JUDGED: DOOMED, E_RELEASED: FREE},
    SECURED: {E_ASKED: ASKED, E_ENDED: CLOSING, E_JUDGED: DOOMED, E_RELEASED: FREE},
    RESUMING: {E_DENIED: SECURED, E_ASKED: ASKED, E_ENDED: CLOSING, E_JUDGED: DOOMED, E_RELEASED: FREE},
    ASKED: {E_DENIED: SECURED, E_LOGIN: LIVE, E_ENDED: CLOSING, E_JUDGED: DOOMED, E_RELEASED: FREE},
    LIVE: {E_ENDED: CLOSING, E_JUDGED: DOOMED, E_RELEASED: FREE},
    PARKED: {E_RESUMED: LIVE, E_JUDGED: DOOMED, E_RELEASED: FREE},
    CLOSING: {E_SENT: LINGER, E_JUDGED: DOOMED, E_RELEASED: FREE},
    LINGER: {E_JUDGED: DOOMED, E_RELEASED: FREE},
    DOOMED: {E_PARKED: PARKED, E_PARDONED: CLOSING, E_RELEASED: FREE},
}

EXPIRY = {
    FIRST: (R_AUTH_TIMEOUT, CLOSE_AUTH_TIMEOUT),
    HELLO: (R_AUTH_TIMEOUT, CLOSE_AUTH_TIMEOUT),
    WAITING: (R_AUTH_TIMEOUT, CLOSE_AUTH_TIMEOUT),
    SECURED: (R_AUTH_TIMEOUT, CLOSE_AUTH_TIMEOUT),
    ASKED: (R_AUTH_TIMEOUT, CLOSE_AUTH_TIMEOUT),
    RESUMING: (R_AUTH_TIMEOUT, CLOSE_AUTH_TIMEOUT),
    LIVE: (R_IDLE, CLOSE_IDLE_TIMEOUT),
    PARKED: (R_PARK_OVER, 0),
    CLOSING: (R_CLOSE_STALLED, 0),
    LINGER: (R_CLOSE_STALLED, 0),
}

assert len(STATE_NAMES) == len(LIFE) == STATES
assert len(EVENT_NAMES) == LIFE_EVENTS

for _state in range(STATES):
    for _event in range(LIFE_EVENTS):
        next_state[_state][_event] = LIFE[_state].get(_event, NO_MOVE)
    expiry[_state].reason, expiry[_state].code = EXPIRY.get(_state, (0, 0))
