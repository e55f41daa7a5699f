// Settings that are lists: taken apart, and what is wrong with an address to listen on.
#pragma once
#include "core/fence.h"

#include <string>
#include <string_view>
#include <vector>

namespace rtd {

// The elements between the commas, without blanks around them; empty ones are left out.
std::vector<std::string> split_list(std::string_view list);

// Why an element of rtd.listen_addresses can be no name and no address, as a sentence; empty: it
// may be one.
std::string listen_address_problem(const std::string &element);

} // namespace rtd
