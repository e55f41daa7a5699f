// The fields of those frames of the link that also travel elsewhere: from hub to query worker and
// back. See core/fields.h.
#pragma once
#include "core/close_code.h"
#include "core/fence.h"
#include "core/link.h"

namespace rtd::link {

// A close code is sent as its number, and any number is one.
template <class IO> void code(IO &io, CloseCode &value) {
    auto number = static_cast<uint16_t>(value);
    io(number);
    value = static_cast<CloseCode>(number);
}

template <class IO> void fields(IO &io, Publish &f) {
    io(f.client);
    io(f.request);
    io(f.topic);
    io(f.params);
    io(f.data);
    io(f.type);
}

template <class IO> void fields(IO &io, Published &f) {
    io(f.client);
    io(f.request);
    io(f.subscribers);
    io(f.is_refused);
    code(io, f.code);
    io(f.reason);
}

} // namespace rtd::link
