// An event as the queue in shared memory carries it.
#include "router/event.h"

#include "fuzz.h"

using namespace rtd;

RTD_FUZZ(event) {
    Result<Event> event = decode_event(bytes);
    if (!event) {
        fuzz_check(!event.error().empty());
        return;
    }
    fuzz_check(encode(*event) == bytes);
    fuzz_check(interest_key(*event) != 0);
}
