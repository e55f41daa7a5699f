// A fuzz target is a file test/fuzz/<name>_fuzz.cpp with one RTD_FUZZ(name) { ... } that looks at
// `bytes` and aborts, through fuzz_check(), where a promise is broken. With -DRTD_FUZZER it is
// libFuzzer's; without, it registers itself and the unit tests run it over its corpus.
#pragma once
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

namespace rtd::fuzz {

using Target = void (*)(std::string_view bytes);

inline std::map<std::string, Target> &targets() {
    static std::map<std::string, Target> all;
    return all;
}

inline void check(bool holds, const char *what, const char *file, int line) {
    if (holds)
        return;
    std::fprintf(stderr, "%s:%d: broken: %s\n", file, line, what);
    std::abort();
}

} // namespace rtd::fuzz

#define fuzz_check(condition) rtd::fuzz::check((condition), #condition, __FILE__, __LINE__)

#ifdef RTD_FUZZER
#define RTD_FUZZ(name)                                                                             \
    static void fuzz_##name(std::string_view bytes);                                               \
    extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {                      \
        fuzz_##name({reinterpret_cast<const char *>(data), size});                                 \
        return 0;                                                                                  \
    }                                                                                              \
    static void fuzz_##name(std::string_view bytes)
#else
#define RTD_FUZZ(name)                                                                             \
    static void fuzz_##name(std::string_view bytes);                                               \
    static const bool registered_##name = rtd::fuzz::targets().emplace(#name, fuzz_##name).second; \
    static void fuzz_##name(std::string_view bytes)
#endif
