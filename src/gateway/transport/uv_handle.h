// UvHandle<T>: owns a libuv handle. libuv may touch a handle until its close callback has run, so
// the memory is released there, not in the destructor; after the destructor no callback of ours is
// called any more.
#pragma once
#include "core/fence.h"

#include <utility>
#include <uv.h>

namespace rtd::net {

template <class T> class UvHandle {
  public:
    UvHandle() : handle_(new T()) {}
    UvHandle(UvHandle &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    UvHandle &operator=(UvHandle &&) = delete;
    ~UvHandle() {
        if (!handle_)
            return;                   // moved on
        if (handle_->loop == nullptr) // never initialised
            delete handle_;
        else
            uv_close(reinterpret_cast<uv_handle_t *>(handle_),
                     [](uv_handle_t *handle) { delete reinterpret_cast<T *>(handle); });
    }

    T *get() { return handle_; }
    T *operator->() { return handle_; }

  private:
    T *handle_;
};

} // namespace rtd::net
