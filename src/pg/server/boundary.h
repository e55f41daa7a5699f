// The two crossings between C++ and the server (see the style notes in docs/ARCHITECTURE.md).
//
//   enter([&]{ ... })  server to C++: an SQL function, hook or callback runs its body in enter();
//                      any C++ exception is copied into a fixed Failure, dies, and only then
//                      becomes an ereport(ERROR).
//   call([&]{ ... })   C++ to server: everything that may ereport() runs in call(); a server error
//                      is copied, flushed and thrown as pg::Error. Only trivially destructible
//                      objects may live inside the lambda, because the server leaves it by longjmp.
//
// throw pg::Error(...) is also how our own code refuses bad input.
#pragma once
#include "core/fence.h"

#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "pg/server/prelude.h"

namespace rtd::pg {

class Error : public std::exception {
  public:
    Error(int sqlstate, std::string message, std::string detail = {}, std::string hint = {})
        : sqlstate_(sqlstate), message_(std::move(message)), detail_(std::move(detail)),
          hint_(std::move(hint)) {}

    int sqlstate() const { return sqlstate_; }
    const std::string &message() const { return message_; }
    const std::string &detail() const { return detail_; }
    const std::string &hint() const { return hint_; }
    const char *what() const noexcept override { return message_.c_str(); }

  private:
    int sqlstate_;
    std::string message_, detail_, hint_;
};

// `text` if it has at most `max_bytes`, else a beginning of it that ends between two characters of
// the database's encoding: half a character is an error of its own where the text is converted.
std::string_view beginning_of(std::string_view text, size_t max_bytes) noexcept;

// The same as a string of C, in an array of bytes.
template <size_t kBytes> void copy_beginning(char (&to)[kBytes], std::string_view text) noexcept {
    std::string_view fitting = beginning_of(text, kBytes - 1);
    memcpy(to, fitting.data(), fitting.size());
    to[fitting.size()] = '\0';
}

// What is left of an exception when it is dead: plain bytes, so that ereport() may longjmp over it.
struct Failure {
    int sqlstate;
    char message[1024];
    char detail[2048];
    char hint[512];

    void set(const Error &error) noexcept;
    void set(int code, const char *text) noexcept;
    [[noreturn]] void report() const;
};

template <class Body> std::invoke_result_t<Body> enter(Body &&body) {
    static_assert(std::is_void_v<std::invoke_result_t<Body>> ||
                  std::is_trivially_destructible_v<std::invoke_result_t<Body>>);
    Failure failure;
    try {
        return body();
    } catch (const Error &error) {
        failure.set(error);
    } catch (const std::bad_alloc &) {
        failure.set(ERRCODE_OUT_OF_MEMORY, "out of memory");
    } catch (const std::exception &error) {
        failure.set(ERRCODE_INTERNAL_ERROR, error.what());
    } catch (...) { // of a library: nothing may unwind the server's frames
        failure.set(ERRCODE_INTERNAL_ERROR, "an exception of an unknown type");
    }
    failure.report();
}

// Turns the error that was just caught from the server into an exception. `context` is the memory
// context that was current when the call began.
[[noreturn]] void throw_server_error(MemoryContext context);

template <class Body> std::invoke_result_t<Body> call(Body &&body) {
    using Value = std::invoke_result_t<Body>;
    static_assert(std::is_void_v<Value> || std::is_trivially_copyable_v<Value>);
    MemoryContext context = CurrentMemoryContext;
    volatile bool failed = false;
    if constexpr (std::is_void_v<Value>) {
        PG_TRY();
        { body(); }
        PG_CATCH();
        { failed = true; }
        PG_END_TRY();
        if (failed)
            throw_server_error(context);
    } else {
        Value value{};
        Value *volatile result = &value;
        PG_TRY();
        { *result = body(); }
        PG_CATCH();
        { failed = true; }
        PG_END_TRY();
        if (failed)
            throw_server_error(context);
        return value;
    }
}

} // namespace rtd::pg
