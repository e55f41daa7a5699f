#include "net/lws_log.h"

#include <cstdio>
#include <ctime>
#include <libwebsockets.h>
#include <string_view>

namespace rtd::net {

namespace {

constexpr int kLinesPerMinute = 10;

// lws reports as errors what is none: this function says so on every adoption.
constexpr std::string_view kNoise = "adopt_socket_readbuf";

void log_line(int, const char *line) {
    static time_t minute = 0;
    static int lines = 0;
    if (std::string_view(line).find(kNoise) != std::string_view::npos)
        return;
    time_t now = std::time(nullptr) / 60;
    if (now != minute) {
        minute = now;
        lines = 0;
    }
    if (lines++ < kLinesPerMinute)
        std::fprintf(stderr, "libwebsockets: %s", line);
}

} // namespace

void log_lws_errors() {
    lws_set_log_level(LLL_ERR, log_line);
}

} // namespace rtd::net
