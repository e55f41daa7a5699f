#include "core/setting_list.h"

#include "core/header_text.h"

#include <arpa/inet.h>

namespace rtd {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";

std::string_view without_blanks(std::string_view text) {
    size_t first = text.find_first_not_of(kBlanks);
    if (first == std::string_view::npos)
        return {};
    return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

bool is_ipv6(const std::string &text) { // with or without a zone
    in6_addr address;
    return inet_pton(AF_INET6, text.substr(0, text.find('%')).c_str(), &address) == 1;
}

} // namespace

std::vector<std::string> split_list(std::string_view list) {
    std::vector<std::string> elements;
    while (!list.empty()) {
        std::string_view element = without_blanks(take_until(list, ","));
        if (!element.empty())
            elements.emplace_back(element);
    }
    return elements;
}

std::string listen_address_problem(const std::string &element) {
    std::string quoted = "\"" + element + "\" ";
    if (element.find("://") != std::string::npos)
        return quoted + "has a scheme, which no address has";
    if (element.find_first_of(kBlanks) != std::string::npos)
        return quoted + "has a blank in it";
    if (element.find_first_of("[]") != std::string::npos)
        return quoted + "has brackets, which an IPv6 address has only before a port";
    if (element.find('/') != std::string::npos)
        return quoted + "has a slash, which no address has";
    if (element.find(':') != std::string::npos && !is_ipv6(element))
        return quoted + "has a colon and is no IPv6 address: the port is set by rtd.port";
    if (element != "*" && element.find('*') != std::string::npos)
        return quoted + "has an asterisk, which stands for all addresses only alone";
    return "";
}

} // namespace rtd
