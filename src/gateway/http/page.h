// The live page, embedded in the executable from page.html, and the headers that go with it.
#pragma once
#include "core/fence.h"

#include <string>
#include <string_view>

namespace rtd::net {

struct Page {
    std::string_view html;
    std::string headers; // header lines: what the page may do, which is to run its own script
};

const Page &page();

} // namespace rtd::net
