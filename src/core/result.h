// Result<T>: a value, or a sentence that says why there is none. For everything that users or
// networks can cause; exceptions are left for out of memory, assert for our own mistakes.
#pragma once
#include "core/fence.h"

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace rtd {

struct Problem {
    std::string message; // one sentence, lower case, no full stop: fit for a primary error message
};

template <class T> class [[nodiscard]] Result {
  public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Problem problem) : state_(std::in_place_index<1>, std::move(problem)) {}

    explicit operator bool() const { return state_.index() == 0; }
    T &operator*() {
        assert(*this);
        return *std::get_if<0>(&state_);
    }
    const T &operator*() const {
        assert(*this);
        return *std::get_if<0>(&state_);
    }
    T *operator->() { return &**this; }
    const T *operator->() const { return &**this; }
    const std::string &error() const {
        assert(!*this);
        return std::get_if<1>(&state_)->message;
    }

  private:
    std::variant<T, Problem> state_;
};

} // namespace rtd
